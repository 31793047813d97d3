// Parse, check values, merge the profile, set, check structure, expand, connect, order, keep what is needed, resolve
// each stage in order. Every step reports all it finds; a step is left out only where what it looks at is broken.
#include "executor/graph/load.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "executor/graph/cluster_checks.h"
#include "executor/graph/external_inputs.h"
#include "executor/graph/field_checks.h"
#include "executor/graph/fit_check.h"
#include "executor/graph/merge.h"
#include "executor/graph/parameters.h"
#include "executor/graph/parse.h"
#include "executor/graph/stage_checks.h"
#include "executor/graph/stage_graph.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {
namespace {

class Loader {
 public:
  Loader(const LoadOptions& options, Diagnostics& diagnostics) : options_(options), diagnostics_(diagnostics) {}

  absl::StatusOr<ResolvedPipeline> Load(absl::string_view text) {
    const int file = sources_.Add(options_.file);
    ParseResult parsed = ParseText(text, FactsOf(Pipeline::descriptor()), sources_, file, diagnostics_);
    root_ = std::move(parsed.root);
    root_->place = {file, 1, 1};
    CheckValues(*root_, sources_, diagnostics_);
    // What is missing may be in the part that could not be read.
    if (parsed.structure_is_lost || !Merge()) return diagnostics_.ToStatus();
    if (!root_->damaged && root_->All("stage").empty())
      diagnostics_.AddError(sources_.At(root_->place), "the pipeline has no stages", "", "stage { name: \"...\" ... }");
    CheckStructure(*root_, "pipeline", sources_, diagnostics_);
    ExpandPresets(*root_);
    ReadSettings();

    drafts_ = DraftStages(*root_);
    ConnectStages(drafts_, sources_, diagnostics_);
    order_ = TopologicalOrder(drafts_, sources_, diagnostics_);
    MarkNeeded();
    pipeline_.text = TextOfNeeded();
    ResolveStages();
    CheckExpectations();
    CheckFits();
    RETURN_IF_ERROR(diagnostics_.ToStatus());
    for (const Diagnostic& diagnostic : diagnostics_.Sorted())
      pipeline_.warnings.AddWarning(diagnostic.location, diagnostic.what, diagnostic.why, diagnostic.fix);
    return std::move(pipeline_);
  }

 private:
  // Applies the profile and the flags. False: the pipeline is not what was asked for.
  bool Merge() {
    std::vector<std::string> names;
    for (const Value* profile : root_->All("profile")) names.emplace_back(profile->message->Text("name"));
    const Value* by_default = root_->Find("default_profile");
    std::string profile = options_.profile;
    Location asked_at;
    bool good = true;
    if (by_default != nullptr) {
      const Location location = sources_.At(by_default->place);
      if (profile.empty()) {
        profile = by_default->text;
        asked_at = location;
      } else if (!absl::c_linear_search(names, by_default->text)) {
        const std::string closest = Closest(by_default->text, names);
        diagnostics_.AddError(
            location, absl::StrCat("default_profile: no profile is named \"", by_default->text, "\""),
            names.empty() ? "the file has no profiles" : absl::StrCat("its profiles are ", absl::StrJoin(names, ", ")),
            closest);
      }
    }
    pipeline_.profile = profile;
    good &= ApplyProfile(*root_, profile, asked_at, sources_, diagnostics_, settings_);
    for (const std::string& assignment : options_.set) {
      const Place place{sources_.Add(absl::StrCat("--set ", assignment)), 0, 0};
      good &= ApplySet(*root_, assignment, sources_, place, diagnostics_);
    }
    return good;
  }

  void ReadSettings() {
    pipeline_.name = std::string(root_->Text("name"));
    pipeline_.file = options_.file;
    if (const Value* seed = root_->Find("seed"); seed != nullptr) pipeline_.seed = seed->natural;
    if (const Node* reproducibility = root_->Child("reproducibility"); reproducibility != nullptr)
      ToMessage(*reproducibility, pipeline_.reproducibility);
    if (!options_.cluster.has_value()) return;
    if (options_.cluster->has_ssh()) pipeline_.launcher = "ssh";
    if (options_.cluster->has_slurm()) pipeline_.launcher = "slurm";
    pipeline_.network = options_.cluster->network();
    // The pool that trains: the first with accelerators, else the first.
    const auto& pools = options_.cluster->pool();
    const auto with_accelerator = absl::c_find_if(pools, [](const Pool& pool) { return pool.has_accelerator(); });
    if (!pools.empty())
      pipeline_.numerics = (with_accelerator == pools.end() ? *pools.begin() : *with_accelerator).numerics();
  }

  int FindDraft(absl::string_view name) const {
    for (size_t i = 0; i < drafts_.size(); ++i) {
      if (drafts_[i].name == name) return static_cast<int>(i);
    }
    return -1;
  }

  void Need(int stage) {
    std::vector<int> open{stage};
    while (!open.empty()) {
      const int at = open.back();
      open.pop_back();
      if (needed_[at]) continue;
      needed_[at] = true;
      for (const Reference& reference : drafts_[at].references) {
        if (reference.producer >= 0) open.push_back(reference.producer);
      }
    }
  }

  void NeedByName(absl::string_view name, const Location& location, absl::string_view asked_by) {
    if (const int stage = FindDraft(name); stage >= 0) return Need(stage);
    std::vector<std::string> names;
    for (const StageDraft& draft : drafts_) names.emplace_back(draft.name);
    const std::string closest = Closest(name, names);
    diagnostics_.AddError(location, absl::StrCat(asked_by, ": no stage is named \"", name, "\""),
                          absl::StrCat("stages are ", absl::StrJoin(names, ", ")), closest);
  }

  void MarkNeeded() {
    const bool everything = settings_.targets.empty() && options_.only.empty();
    needed_.assign(drafts_.size(), everything);
    for (const std::string& name : options_.only) NeedByName(name, {}, absl::StrCat("--only=", name));
    for (const Value& target : settings_.targets) {
      if (options_.only.empty()) {
        NeedByName(target.text, sources_.At(target.place), "target");
      } else if (FindDraft(target.text) < 0) {
        NeedByName(target.text, sources_.At(target.place), "target");
      }
    }
  }

  // Without the stages that are not needed. What is taken away is not looked at again.
  std::string TextOfNeeded() {
    Node shown(root_->type, root_->place);
    size_t stage = 0;
    std::vector<Value*> lent;
    for (Value& value : root_->values) {
      if (value.field->name == "default_profile") continue;
      if (value.field->name == "stage" && !needed_[stage++]) continue;
      shown.values.push_back(std::move(value));
      lent.push_back(&value);
    }
    std::string text = ToText(shown);
    for (size_t i = 0; i < lent.size(); ++i) *lent[i] = std::move(shown.values[i]);
    return text;
  }

  void ResolveStages() {
    facts_.resize(drafts_.size());
    for (StageFacts& facts : facts_) facts.incomplete = true;
    std::vector<int> resolved_index(drafts_.size(), -1);
    pipeline_.stages.reserve(order_.size());
    ExternalInputFinder finder(options_, sources_, diagnostics_);
    const CheckContext context{drafts_, facts_, pipeline_.reproducibility, options_.manifest, sources_, diagnostics_};
    for (const int index : order_) {
      StageDraft& draft = drafts_[index];
      if (!needed_[index] || draft.body == nullptr) continue;
      NormalizeUnits(*draft.node);
      resolved_index[index] = static_cast<int>(pipeline_.stages.size());
      ResolvedStage& stage = pipeline_.stages.emplace_back();
      stage.external_inputs = finder.Find(draft);
      facts_[index] = DeriveFacts(context, draft, index, stage.external_inputs);
      CheckStage(context, draft);
      stage.written = std::shared_ptr<const Node>(root_, draft.body);
      stage.sources_of_text = sources_owner_;
      ResolveSources(context, draft);
      stage.name = std::string(draft.name);
      stage.kind = draft.kind->name;
      stage.description = std::string(draft.node->Text("description"));
      stage.parameters = ToParameters(*draft.body);
      if (const Node* execution = draft.node->Child("execution"); execution != nullptr)
        ToMessage(*execution, stage.execution);
      stage.location = sources_.At(draft.node->place);
      stage.outputs = draft.outputs;
      stage.sources = facts_[index].sources;
      AddEdges(draft, resolved_index, stage);
      FillByKind(context, draft, index, stage);
      for (const ExternalInput& input : stage.external_inputs) {
        if (!input.unresolved.empty())
          pipeline_.unchecked.push_back(absl::StrCat("stage \"", stage.name, "\": ", input.unresolved));
      }
    }
  }

  static void AddEdges(const StageDraft& draft, const std::vector<int>& resolved_index, ResolvedStage& stage) {
    for (const Reference& reference : draft.references) {
      if (reference.producer < 0) continue;
      StageEdge edge;
      edge.name = reference.path;
      // A custom stage names its inputs itself.
      if (draft.kind->name == "custom")
        edge.name = std::string(draft.body->All("input")[reference.numbers[1]]->message->Text("name"));
      edge.producer = resolved_index[reference.producer];
      edge.output = reference.output;
      edge.artifact = reference.artifact;
      edge.in_key = reference.value->field->effect.value_or(RESULT) != NONE;
      edge.number_path = NumberPath(reference.numbers);
      stage.edges.push_back(std::move(edge));
    }
  }

  void FillByKind(const CheckContext& context, const StageDraft& draft, int index, ResolvedStage& stage) {
    stage.tool = stage.kind;
    if (stage.kind == "custom") {
      stage.tool = std::string(draft.body->Text("tool"));
      if (const Node* command = draft.body->Child("command"); command != nullptr) {
        for (const Value& argument : command->values) stage.command.push_back(argument.text);
      }
    } else if (stage.kind == "corpus") {
      stage.uses_seed = draft.body->Find("take") != nullptr;
    } else if (stage.kind == "mix") {
      stage.uses_seed = true;
    } else if (stage.kind == "evaluate") {
      const auto& evaluate = static_cast<const Evaluate&>(*stage.parameters);
      stage.uses_seed = absl::c_any_of(evaluate.sample(), [](const auto& sample) { return sample.temperature() > 0; });
      stage.uses_floating_point = true;
    } else if (stage.kind == "train") {
      const auto& train = static_cast<const Train&>(*stage.parameters);
      stage.uses_seed = stage.uses_floating_point = true;
      stage.ranks = train.parallel().data_parallel_size();
      stage.threads_per_rank = train.parallel().has_threads_per_rank() ? train.parallel().threads_per_rank() : 0;
      CheckTrain(context, draft, train, facts_[index], stage);
      NoteUnknownVocabulary(draft);
      if (!stage.train_steps.has_value()) return;
      if (!options_.cluster.has_value()) {
        pipeline_.unchecked.push_back(absl::StrCat("stage \"", stage.name,
                                                   "\": whether the model fits is not known without a cluster "
                                                   "(--cluster=FILE)"));
      }
    }
  }

  // Whether the model has a row for each id is not looked at where the tokenizer's file is not there.
  void NoteUnknownVocabulary(const StageDraft& draft) {
    const Reference* tokenizer = draft.Find("tokenizer");
    if (tokenizer == nullptr || tokenizer->producer < 0) return;
    const StageFacts& facts = facts_[tokenizer->producer];
    if (facts.vocabulary_size > 0 || facts.incomplete) return;
    pipeline_.unchecked.push_back(absl::StrCat("stage \"", draft.name, "\": whether vocab_size covers the ids of \"",
                                               tokenizer->value->text,
                                               "\" is not known: its tokenizer.json is not here"));
  }

  void CheckFits() {
    if (!options_.cluster.has_value() || (!options_.check_fit && !diagnostics_.has_errors())) return;
    for (const ResolvedStage& stage : pipeline_.stages) {
      if (stage.train_steps.has_value())
        CheckFit(stage, *options_.cluster, PlanTraining(pipeline_, stage, *options_.cluster), diagnostics_);
    }
  }

  void CheckExpectations() {
    const CheckContext context{drafts_, facts_, pipeline_.reproducibility, options_.manifest, sources_, diagnostics_};
    for (Value& value : settings_.expectations) {
      CheckStructure(*value.message, "expect", sources_, diagnostics_);
      const std::string name(value.message->Text("stage").substr(0, value.message->Text("stage").find('.')));
      // --only leaves out what is expected of others.
      const int stage = FindDraft(name);
      if (!options_.only.empty() && stage >= 0 && !needed_[stage]) continue;
      CheckExpectation(context, *value.message, needed_);
      ToMessage(*value.message, pipeline_.expectations.emplace_back());
    }
  }

  const LoadOptions& options_;
  Diagnostics& diagnostics_;
  const std::shared_ptr<Sources> sources_owner_ = std::make_shared<Sources>();
  Sources& sources_ = *sources_owner_;
  std::shared_ptr<Node> root_;  // shared with the stages, for OriginOf
  ProfileSettings settings_;
  std::vector<StageDraft> drafts_;
  std::vector<int> order_;
  std::vector<bool> needed_;
  std::vector<StageFacts> facts_;
  ResolvedPipeline pipeline_;
};

}  // namespace

absl::StatusOr<ResolvedPipeline> LoadPipeline(absl::string_view text, const LoadOptions& options,
                                              Diagnostics& diagnostics) {
  return Loader(options, diagnostics).Load(text);
}

std::vector<std::string> ProfileNames(absl::string_view text) {
  Sources sources;
  Diagnostics diagnostics;
  const ParseResult parsed = ParseText(text, FactsOf(Pipeline::descriptor()), sources, sources.Add(""), diagnostics);
  std::vector<std::string> names;
  if (parsed.structure_is_lost) return names;
  for (const Value* profile : parsed.root->All("profile")) names.emplace_back(profile->message->Text("name"));
  return names;
}

absl::StatusOr<Cluster> LoadCluster(absl::string_view text, const std::string& file, absl::string_view name,
                                    Diagnostics& diagnostics) {
  Sources sources;
  const int source = sources.Add(file);
  ParseResult parsed = ParseText(text, FactsOf(ClusterFile::descriptor()), sources, source, diagnostics);
  parsed.root->place = {source, 1, 1};
  CheckValues(*parsed.root, sources, diagnostics);
  if (!parsed.structure_is_lost) {
    CheckStructure(*parsed.root, "cluster file", sources, diagnostics);
    for (const Value* cluster : parsed.root->All("cluster")) CheckCluster(*cluster->message, sources, diagnostics);
  }
  RETURN_IF_ERROR(diagnostics.ToStatus());
  const Node* chosen = nullptr;
  std::vector<std::string> names;
  for (const Value* cluster : parsed.root->All("cluster")) {
    names.emplace_back(cluster->message->Text("name"));
    if (name.empty() || names.back() == name) chosen = cluster->message.get();
  }
  if (name.empty() && names.size() != 1) {
    diagnostics.AddError(
        {file, 1, 1},
        names.empty() ? "the file has no cluster" : absl::StrCat("the file has ", names.size(), " clusters"),
        names.empty() ? "" : absl::StrCat("they are ", absl::StrJoin(names, ", ")),
        names.empty() ? "cluster { name: \"...\" ... }" : absl::StrCat("--cluster=", file, ":", names[0]));
  } else if (chosen == nullptr) {
    const std::string closest = Closest(name, names);
    diagnostics.AddError({file, 1, 1}, absl::StrCat("no cluster is named \"", name, "\""),
                         absl::StrCat("the file has ", absl::StrJoin(names, ", ")),
                         closest.empty() ? "" : absl::StrCat("--cluster=", file, ":", closest));
  }
  RETURN_IF_ERROR(diagnostics.ToStatus());
  std::unique_ptr<Node> plain = chosen->Clone();
  NormalizeUnits(*plain);
  Cluster cluster;
  ToMessage(*plain, cluster);
  return cluster;
}

void CheckRunnable(const ResolvedPipeline& pipeline, Diagnostics& diagnostics) {
  if (!pipeline.launcher.empty()) {
    diagnostics.AddError({pipeline.file}, absl::StrCat("a cluster with ", pipeline.launcher, " cannot be run on"),
                         "`plan` sizes it; this version runs on this machine alone", "leave --cluster out");
  }
  if (pipeline.numerics != CPU_AVX2 && pipeline.numerics != CPU_AVX512) {
    diagnostics.AddError(
        {pipeline.file},
        absl::StrCat("numerics ", Numerics_Name(pipeline.numerics), " cannot be run: this version trains on CPUs"),
        "keys of this class promise the bits of a GPU", "a pool with numerics: CPU_AVX2");
  }
  for (const ResolvedStage& stage : pipeline.stages) {
    const auto refuse = [&](absl::string_view path, absl::string_view what, std::string why, std::string fix) {
      diagnostics.AddError(stage.OriginOf(path), absl::StrCat("stage \"", stage.name, "\": ", what), std::move(why),
                           std::move(fix));
    };
    for (const ExternalInput& input : stage.external_inputs) {
      if (input.unresolved.empty()) continue;
      diagnostics.AddError(input.location, absl::StrCat("stage \"", stage.name, "\": ", input.unresolved),
                           "its files must be there to run it", "");
    }
    if (stage.kind != "train") continue;
    const auto& train = static_cast<const Train&>(*stage.parameters);
    const char* planned = "`plan` sizes it; this version does not run it";
    if (train.parallel().zero_stage() > 0) {
      refuse("parallel.zero_stage", absl::StrCat("ZeRO stage ", train.parallel().zero_stage(), " cannot be run"),
             planned, "zero_stage: 0");
    }
    if (train.parallel().pipeline_parallel_size() > 1) {
      refuse(
          "parallel.pipeline_parallel_size",
          absl::StrCat("pipeline parallelism over ", train.parallel().pipeline_parallel_size(), " ranks cannot be run"),
          planned, "pipeline_parallel_size: 1");
    }
    if (train.precision() != Train::FP32) {
      refuse("precision", absl::StrCat("precision ", Train::Precision_Name(train.precision()), " cannot be run"),
             planned, "precision: FP32");
    }
  }
}

}  // namespace millrace
