#include "executor/engine/plan.h"

#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/engine/stage_index.h"
#include "executor/graph/action_key.h"

namespace millrace {
namespace {

// "sha256:0123abcd..." for people.
std::string Shortened(const std::string& value) {
  constexpr size_t kShown = 19;
  return absl::StartsWith(value, "sha256:") && value.size() > kShown ? value.substr(0, kShown) + "..." : value;
}

// "learning_rate changed: 0.002 -> 0.003", "documents of \"unique\" changed", "the program changed".
std::string Describe(const ResolvedPipeline& pipeline, const ResolvedStage& stage, const KeyDifference& difference) {
  if (difference.path == "tool") return "the program changed";
  if (absl::StartsWith(difference.path, "input.")) {
    const absl::string_view name = absl::StripPrefix(difference.path, "input.");
    for (const StageEdge& edge : stage.edges) {
      if (edge.name == name)
        return absl::StrCat(edge.output, " of \"", pipeline.stages[edge.producer].name, "\" changed");
    }
    for (const ExternalInput& input : stage.external_inputs) {
      if (input.name == name) return absl::StrCat("the content of ", input.name, " changed");
    }
  }
  const std::string name = difference.path.substr(difference.path.rfind('.') + 1);
  if (difference.before.empty()) return absl::StrCat(name, " is new: ", Shortened(difference.after));
  if (difference.after.empty()) return absl::StrCat(name, " is gone: was ", Shortened(difference.before));
  return absl::StrCat(name, " changed: ", Shortened(difference.before), " -> ", Shortened(difference.after));
}

int64_t BytesOf(const ActionEntry& entry) {
  int64_t bytes = 0;
  for (const OutputTree& output : entry.output()) bytes += output.size_bytes();
  return bytes;
}

class Planner {
 public:
  Planner(Store& store, const ResolvedPipeline& pipeline, const EngineOptions& options)
      : store_(store),
        pipeline_(pipeline),
        options_(options),
        plans_(pipeline.stages.size()),
        states_(pipeline.stages.size(), EntryState::kAbsent) {}

  absl::StatusOr<std::vector<StagePlan>> Make() {
    const std::string index = store_.home.Index(pipeline_.name);
    if (FileExists(index)) {
      ASSIGN_OR_RETURN(index_, StageIndex::Open(index));
    }
    const Cas::Hold hold(*store_.cas);
    for (int i = 0; i < static_cast<int>(plans_.size()); ++i) RETURN_IF_ERROR(PlanStage(i));
    RunWhatIsNeeded();
    RETURN_IF_ERROR(store_.memo->Flush());
    return std::move(plans_);
  }

 private:
  absl::Status PlanStage(int i) {
    const ResolvedStage& stage = pipeline_.stages[i];
    StagePlan& plan = plans_[i];
    if (stage.train_steps.has_value()) plan.total_steps = stage.train_steps->total_steps;
    plan.reason = WhyBlocked(stage);
    if (!plan.reason.empty()) {
      FindPrevious(stage, plan);
      return absl::OkStatus();
    }
    std::vector<const ActionEntry*> producers;
    for (const StageEdge& edge : stage.edges) producers.push_back(&*plans_[edge.producer].entry);
    const bool forced = options_.force.contains(stage.name);
    absl::StatusOr<Decision> decision =
        Decide(store_, pipeline_, i, producers, {.force = forced, .record_of_cached = few_, .keep_remote = false});
    if (!decision.ok()) return Annotate(decision.status(), absl::StrCat("stage \"", stage.name, "\""));
    plan.key = decision->key.Hex();
    if (decision->key_record.component_size() > 0) plan.key_record = std::move(decision->key_record);
    plan.resume_step = decision->chain.resume_step;
    plan.prefix_reason = decision->chain.ends_because;
    states_[i] = decision->state;
    plan.remote = decision->remote;
    if (decision->state != EntryState::kAbsent) plan.entry = std::move(decision->entry);
    if (plan.entry.has_value() && !forced) {
      plan.status = StagePlan::Status::kCached;
      plan.reason = "cached";
      plan.expected_seconds = plan.entry->duration_seconds();
      plan.expected_bytes = BytesOf(*plan.entry);
      return absl::OkStatus();
    }
    plan.status = StagePlan::Status::kRun;
    FindPrevious(stage, plan);
    plan.reason = forced ? "forced" : WhyRun(stage, plan);
    return absl::OkStatus();
  }

  // "" if nothing keeps the stage's key from being known.
  std::string WhyBlocked(const ResolvedStage& stage) const {
    for (const ExternalInput& input : stage.external_inputs) {
      if (!input.unresolved.empty()) return input.unresolved;
    }
    for (const StageEdge& edge : stage.edges) {
      const StagePlan& producer = plans_[edge.producer];
      const std::string& name = pipeline_.stages[edge.producer].name;
      if (!producer.entry.has_value()) return absl::StrCat("waits for ", name);
      if (producer.entry->gate_failed()) return absl::StrCat("a gate of ", name, " does not hold");
    }
    return "";
  }

  std::string WhyRun(const ResolvedStage& stage, const StagePlan& plan) const {
    if (!plan.previous.has_value()) return "new: no result of it yet";
    const std::vector<KeyDifference> differences = CompareKeyRecords(*plan.previous, *plan.key_record);
    if (differences.empty()) return "its entry is gone";
    std::string reason = Describe(pipeline_, stage, differences.front());
    if (differences.size() > 1) absl::StrAppend(&reason, " (and ", differences.size() - 1, " more)");
    return reason;
  }

  // The earlier record with the fewest differences, the latest among equals.
  void FindPrevious(const ResolvedStage& stage, StagePlan& plan) const {
    if (index_ == nullptr) return;
    size_t fewest = SIZE_MAX;
    for (const Digest& key : index_->KeysOf(stage.name, stage.kind)) {
      absl::StatusOr<FoundEntry> found = store_.cache->Lookup(key, {.check_bytes = false});
      if (!found.ok() || found->state == EntryState::kAbsent) continue;
      const size_t count =
          plan.key_record.has_value() ? CompareKeyRecords(found->entry.key(), *plan.key_record).size() : 0;
      if (count >= fewest) continue;
      fewest = count;
      plan.previous = found->entry.key();
      plan.expected_seconds = found->entry.duration_seconds();
      plan.expected_bytes = BytesOf(found->entry);
      if (!plan.key_record.has_value()) return;
    }
  }

  // A stage whose digests are known but whose bytes are gone runs if somebody needs the bytes.
  void RunWhatIsNeeded() {
    std::vector<bool> needed(plans_.size(), false), has_consumer(plans_.size(), false);
    for (const ResolvedStage& stage : pipeline_.stages) {
      for (const StageEdge& edge : stage.edges) has_consumer[edge.producer] = true;
    }
    for (int i = static_cast<int>(plans_.size()) - 1; i >= 0; --i) {
      StagePlan& plan = plans_[i];
      if (plan.status == StagePlan::Status::kCached && states_[i] == EntryState::kKnown &&
          (needed[i] || !has_consumer[i])) {
        // A shared cache may have them.
        if (!plan.remote.has_value() && store_.remotes != nullptr)
          plan.remote = store_.remotes->FindTrees(TreesOf(*plan.entry));
        if (!plan.remote.has_value()) {
          plan.status = StagePlan::Status::kRun;
          plan.reason = "its bytes are gone, and are needed";
        }
      } else {
        plan.remote.reset();
      }
      if (plan.status == StagePlan::Status::kCached) continue;
      for (const StageEdge& edge : pipeline_.stages[i].edges) needed[edge.producer] = true;
    }
  }

  Store& store_;
  const ResolvedPipeline& pipeline_;
  const EngineOptions& options_;
  const bool few_ = pipeline_.stages.size() <= kMaxKeyRecords;
  std::unique_ptr<StageIndex> index_;
  std::vector<StagePlan> plans_;
  std::vector<EntryState> states_;
};

}  // namespace

absl::StatusOr<std::vector<StagePlan>> MakePlan(Store& store, const ResolvedPipeline& pipeline,
                                                const EngineOptions& options) {
  return Planner(store, pipeline, options).Make();
}

}  // namespace millrace
