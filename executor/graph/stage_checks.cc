#include "executor/graph/stage_checks.h"

#include <cmath>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "executor/graph/tokenizer_vocabulary.h"

namespace millrace {
namespace {

constexpr double kWeightTolerance = 1e-9;

std::string Prefix(const StageDraft& draft) { return absl::StrCat("stage \"", draft.name, "\": "); }

void Append(const std::vector<std::string>& from, std::vector<std::string>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

// Vocabulary of a tokenizer that is a file; 0: its file is not known here.
int64_t VocabularyOfFile(const CheckContext& context, const StageDraft& draft,
                         const std::vector<ExternalInput>& external) {
  for (const ExternalInput& input : external) {
    if (!input.unresolved.empty() || input.files.empty()) continue;
    const auto file = absl::c_find_if(input.files, [](const ExternalFile& candidate) {
      return BaseName(candidate.relative_path) == "tokenizer.json";
    });
    if (file == input.files.end()) {
      context.diagnostics.AddError(
          input.location, absl::StrCat(Prefix(draft), "there is no tokenizer.json"),
          absl::StrCat("a tokenizer is a tokenizer.json as Hugging Face's tokenizers write it;", " the files here are ",
                       input.files[0].relative_path, input.files.size() > 1 ? ", ..." : ""),
          "");
      continue;
    }
    // A pipeline target's data may not be built where it is checked.
    if (!FileExists(file->absolute_path)) continue;
    const auto size = VocabularySizeOf(file->absolute_path);
    if (size.ok()) return *size;
    context.diagnostics.AddError(input.location, absl::StrCat(Prefix(draft), std::string(size.status().message())),
                                 "a tokenizer is a tokenizer.json as Hugging Face's tokenizers write it", "");
  }
  return 0;
}

void CheckFilter(const CheckContext& context, const StageDraft& draft) {
  for (const Value* rule : draft.body->All("rule")) {
    const Node& node = *rule->message;
    if (node.damaged) continue;
    const Value* what = node.OneofMember(0);
    if (what != nullptr && what->message != nullptr && what->message->values.empty() && !what->message->damaged) {
      context.diagnostics.AddError(context.sources.At(what->place),
                                   absl::StrCat(Prefix(draft), "rule \"", node.Text("name"), "\" has no bounds"),
                                   "it would keep every document", absl::StrCat(what->field->name, " { min: ... }"));
    }
    const Value* replacement = node.Find("replacement");
    if (replacement != nullptr && what != nullptr && what->field->name != "redact_matching") {
      context.diagnostics.AddError(context.sources.At(replacement->place),
                                   absl::StrCat(Prefix(draft), "rule \"", node.Text("name"), "\" replaces nothing"),
                                   "`replacement` goes with `redact_matching`", "take `replacement` away");
    }
  }
}

void CheckDedup(const CheckContext& context, const StageDraft& draft) {
  if (draft.body->damaged || draft.body->Find("exact") != nullptr || draft.body->Find("minhash") != nullptr) return;
  context.diagnostics.AddError(context.sources.At(draft.body->place), absl::StrCat(Prefix(draft), "it drops nothing"),
                               "neither `exact` nor `minhash` is there", "exact {} minhash {}");
}

void CheckMix(const CheckContext& context, const StageDraft& draft) {
  double sum = 0;
  int64_t length = 0;
  std::string length_of;
  bool complete = !draft.body->damaged;
  const std::vector<const Value*> components = draft.body->All("component");
  for (size_t i = 0; i < components.size(); ++i) {
    const Node& component = *components[i]->message;
    const Value* weight = component.Find("weight");
    complete &= weight != nullptr && !component.damaged;
    if (weight != nullptr) sum += weight->real;
    if (const Value* epochs = component.Find("max_epochs"); epochs != nullptr && epochs->real == 0) {
      context.diagnostics.AddError(context.sources.At(epochs->place),
                                   absl::StrCat(Prefix(draft), "with max_epochs 0 the order ends before it begins"),
                                   "a component with weight 0 is left out", "max_epochs: 4");
    }
    const Reference* from = draft.Find(absl::StrCat("component.", i, ".from"));
    if (from == nullptr || from->producer < 0) continue;
    const int64_t other = context.facts[from->producer].sequence_length;
    if (length != 0 && other != 0 && other != length) {
      context.diagnostics.AddError(
          context.sources.At(from->value->place),
          absl::StrCat(Prefix(draft), "sequences of ", other, " ids are mixed with sequences of ", length),
          absl::StrCat("\"", from->value->text, "\" and \"", length_of, "\" are packed to different lengths"),
          "one sequence_length for all");
    } else if (length == 0) {
      length = other;
      length_of = from->value->text;
    }
  }
  if (!complete || std::abs(sum - 1) <= kWeightTolerance) return;
  std::vector<std::string> scaled;
  for (const Value* component : components) {
    const double weight = component->message->Find("weight")->real;
    scaled.push_back(absl::StrFormat("%.6g", sum > 0 ? weight / sum : 1.0 / components.size()));
  }
  context.diagnostics.AddError(context.sources.At(draft.body->place),
                               absl::StrFormat("%sthe weights sum to %.10g, not 1", Prefix(draft), sum),
                               "they are shares of tokens", absl::StrCat("weights ", absl::StrJoin(scaled, ", ")));
}

void CheckEvaluate(const CheckContext& context, const StageDraft& draft) {
  const Node& body = *draft.body;
  if (!body.damaged && body.Find("likelihood") == nullptr && body.Find("sample") == nullptr) {
    context.diagnostics.AddError(context.sources.At(body.place), absl::StrCat(Prefix(draft), "it measures nothing"),
                                 "neither `likelihood` nor `sample` is there",
                                 "likelihood { data: \"shards.held_out\" }");
  }
  for (const Value* gate : body.All("gate")) {
    const Node& node = *gate->message;
    if (node.damaged || node.Find("min") != nullptr || node.Find("max") != nullptr) continue;
    context.diagnostics.AddError(context.sources.At(gate->place),
                                 absl::StrCat(Prefix(draft), "the gate \"", node.Text("metric"), "\" has no bounds"),
                                 "it would always hold", "max: 2.5");
  }
  // The model's ids are those of the tokenizer it was trained with.
  const Reference* model = draft.Find("model");
  const Reference* tokenizer = draft.Find("tokenizer");
  if (model == nullptr || tokenizer == nullptr || model->producer < 0 || tokenizer->producer < 0) return;
  const int trained_with = context.facts[model->producer].tokenizer;
  if (trained_with >= 0 && trained_with != tokenizer->producer) {
    context.diagnostics.AddError(
        context.sources.At(tokenizer->value->place),
        absl::StrCat(Prefix(draft), "\"", model->value->text, "\" was trained with another tokenizer"),
        absl::StrCat("its ids are those of \"", context.drafts[trained_with].name, "\""),
        absl::StrCat("tokenizer: \"", context.drafts[trained_with].name, "\""));
  }
  const Reference* data = draft.Find("likelihood.data");
  if (data == nullptr || data->producer < 0 || trained_with < 0) return;
  const int data_tokenizer = context.facts[data->producer].tokenizer;
  if (data_tokenizer >= 0 && data_tokenizer != trained_with) {
    context.diagnostics.AddError(
        context.sources.At(data->value->place),
        absl::StrCat(Prefix(draft), "\"", data->value->text, "\" has the ids of another tokenizer"),
        absl::StrCat("they are those of \"", context.drafts[data_tokenizer].name, "\", the model's are those of \"",
                     context.drafts[trained_with].name, "\""),
        "");
  }
}

void CheckCustom(const CheckContext& context, const StageDraft& draft) {
  if (const Value* tool = draft.body->Find("tool"); tool != nullptr && context.manifest != nullptr) {
    if (context.manifest->tools.count(tool->text) > 0) return;
    std::vector<std::string> labels;
    for (const auto& [name, entry] : context.manifest->tools) {
      if (absl::StartsWith(name, "//") || absl::StartsWith(name, "@") || absl::StartsWith(name, ":"))
        labels.push_back(name);
    }
    const std::string closest = Closest(tool->text, labels);
    context.diagnostics.AddError(
        context.sources.At(tool->place),
        absl::StrCat(Prefix(draft), "the pipeline target brings no tool \"", tool->text, "\""),
        labels.empty() ? "its `tools` is empty" : absl::StrCat("its `tools` has ", absl::StrJoin(labels, ", ")),
        closest.empty() ? "add it to the `tools` of the pipeline rule" : absl::StrCat("tool: \"", closest, "\""));
  } else if (const Node* command = draft.body->Child("command"); command != nullptr && !command->damaged) {
    const Value* first = command->values.empty() ? nullptr : &command->values.front();
    if (first != nullptr && !first->text.empty()) return;
    context.diagnostics.AddError(context.sources.At(command->place),
                                 absl::StrCat(Prefix(draft), "the command has no program"),
                                 "argument[0] is looked up in PATH", "command { argument: \"wc\" argument: \"-l\" }");
  }
}

}  // namespace

StageFacts DeriveFacts(const CheckContext& context, const StageDraft& draft, int index,
                       const std::vector<ExternalInput>& external) {
  StageFacts facts;
  facts.incomplete = draft.body->damaged;
  const std::string& kind = draft.kind->name;
  if (kind == "corpus") {
    facts.sources = {std::string(draft.name)};
    return facts;
  }
  if (kind == "tokenizer" || kind == "train_tokenizer") {
    facts.tokenizer = index;
    if (kind == "tokenizer") {
      facts.vocabulary_size = VocabularyOfFile(context, draft, external);
    } else if (const Value* size = draft.body->Find("vocab_size"); size != nullptr) {
      facts.vocabulary_size = size->integer;
    }
    return facts;
  }
  // The stages whose documents these are, each once for `mix`.
  std::vector<int> read;
  for (const Reference& reference : draft.references) {
    if (reference.producer < 0) {
      facts.incomplete = true;
      continue;
    }
    if (reference.artifact == TOKENIZER) continue;
    if (kind == "train" && reference.path != "data") continue;
    if (kind == "evaluate" && reference.path != "likelihood.data") continue;
    if (kind == "mix" && absl::c_linear_search(read, reference.producer)) continue;
    read.push_back(reference.producer);
  }
  for (const int producer : read) {
    const StageFacts& from = context.facts[producer];
    Append(from.sources, facts.sources);
    facts.incomplete |= from.incomplete;
    if (facts.tokenizer < 0) facts.tokenizer = from.tokenizer;
    if (facts.sequence_length == 0) facts.sequence_length = from.sequence_length;
  }
  if (kind == "pack") {
    const Value* length = draft.body->Find("sequence_length");
    facts.sequence_length = length == nullptr ? 0 : length->integer;
  } else if (kind == "custom") {
    // What a program of the user's makes of ids is not known.
    facts.tokenizer = -1;
    facts.sequence_length = 0;
    const bool has_documents = absl::c_any_of(draft.outputs, [](const OutputSpec& output) {
      return output.artifact == DOCUMENTS || output.artifact == TOKENS || output.artifact == SHARDS;
    });
    if (!has_documents) facts.sources.clear();
    if (has_documents && facts.sources.empty()) facts.sources = {std::string(draft.name)};
  }
  if (const Reference* tokenizer = draft.Find("tokenizer"); tokenizer != nullptr && tokenizer->producer >= 0)
    facts.tokenizer = tokenizer->producer;
  return facts;
}

void CheckStage(const CheckContext& context, const StageDraft& draft) {
  const std::string& kind = draft.kind->name;
  if (kind == "custom") return CheckCustom(context, draft);
  if (kind == "filter") return CheckFilter(context, draft);
  if (kind == "dedup") return CheckDedup(context, draft);
  if (kind == "mix") return CheckMix(context, draft);
  if (kind == "evaluate") return CheckEvaluate(context, draft);
}

void ResolveSources(const CheckContext& context, const StageDraft& draft) {
  if (draft.kind->name != "mix") return;
  const std::vector<const Value*> components = draft.body->All("component");
  for (size_t i = 0; i < components.size(); ++i) {
    Node& component = *components[i]->message;
    Value* source = component.Find(component.type->Get("source"));
    const Reference* from = draft.Find(absl::StrCat("component.", i, ".from"));
    if (source == nullptr || from == nullptr || from->producer < 0) continue;
    const std::vector<std::string>& names = context.facts[from->producer].sources;
    const auto found = absl::c_find(names, source->text);
    const Location location = context.sources.At(source->place);
    if (found == names.end() && context.facts[from->producer].incomplete) continue;
    if (found == names.end()) {
      const std::string closest = Closest(source->text, names);
      context.diagnostics.AddError(
          location,
          absl::StrCat(Prefix(draft), "\"", from->value->text, "\" has no documents of \"", source->text, "\""),
          absl::StrCat("its documents come from ", absl::StrJoin(names, ", ")),
          closest.empty() ? "" : absl::StrCat("source: \"", closest, "\""));
      continue;
    }
    if (absl::c_count(names, source->text) > 1) {
      context.diagnostics.AddError(
          location,
          absl::StrCat(Prefix(draft), "\"", from->value->text, "\" has \"", source->text, "\" more than once"),
          absl::StrCat("its documents come from ", absl::StrJoin(names, ", "), ", by several ways"),
          "let each corpus reach it by one way");
      continue;
    }
    source->text = absl::StrCat(found - names.begin());
  }
}

void CheckExpectation(const CheckContext& context, const Node& expectation, const std::vector<bool>& needed) {
  if (expectation.damaged) return;
  const Value& stage = *expectation.Find("stage");
  const Location location = context.sources.At(stage.place);
  const size_t dot = stage.text.find('.');
  const std::string name = stage.text.substr(0, dot);
  const auto found = absl::c_find_if(context.drafts, [&](const StageDraft& draft) { return draft.name == name; });
  if (found == context.drafts.end()) {
    std::vector<std::string> names;
    for (const StageDraft& draft : context.drafts) names.emplace_back(draft.name);
    const std::string closest = Closest(name, names);
    context.diagnostics.AddError(location, absl::StrCat("expect: no stage is named \"", name, "\""), "",
                                 closest.empty() ? "" : absl::StrCat("stage: \"", closest, "\""));
    return;
  }
  if (found->body == nullptr) return;
  if (!needed[found - context.drafts.begin()]) {
    context.diagnostics.AddError(location, absl::StrCat("expect: \"", name, "\" does not run in this profile"),
                                 "its targets do not need it", absl::StrCat("target: \"", name, "\""));
    return;
  }
  const Value* digest = expectation.Find("digest");
  const bool bounds = expectation.Find("min") != nullptr || expectation.Find("max") != nullptr;
  const Value* golden = expectation.Find("golden");
  if ((digest != nullptr) + bounds + (golden != nullptr) != 1) {
    context.diagnostics.AddError(
        location,
        absl::StrCat("expect: \"", name, "\" is held to ",
                     digest == nullptr && !bounds && golden == nullptr ? "nothing" : "several things at once"),
        "one of: min and max, golden with tolerance, digest", "one `expect` for each");
    return;
  }
  if (digest == nullptr && expectation.Find("metric") == nullptr) {
    context.diagnostics.AddError(location, absl::StrCat("expect: \"", name, "\" has no metric"),
                                 "bounds and golden values are of a metric", "metric: \"bits_per_byte\"");
  }
  if (digest != nullptr) {
    const absl::string_view text = digest->text;
    const bool good = absl::StartsWith(text, "sha256:") && text.size() == 71 &&
                      text.substr(7).find_first_not_of("0123456789abcdef") == absl::string_view::npos;
    if (!good) {
      context.diagnostics.AddError(context.sources.At(digest->place),
                                   absl::StrCat("expect: \"", text, "\" is no digest"),
                                   "\"sha256:\" and 64 hexadecimal digits", "the test's update command writes it");
    }
  }
  if (dot == std::string::npos) return;
  const std::string output = stage.text.substr(dot + 1);
  if (absl::c_any_of(found->outputs, [&](const OutputSpec& spec) { return spec.name == output; })) return;
  std::vector<std::string> outputs;
  for (const OutputSpec& spec : found->outputs) outputs.push_back(spec.name);
  context.diagnostics.AddError(location, absl::StrCat("expect: \"", name, "\" has no output \"", output, "\""),
                               absl::StrCat("a ", found->kind->name, " stage makes ", absl::StrJoin(outputs, ", ")),
                               absl::StrCat("stage: \"", name, ".", outputs[0], "\""));
}

}  // namespace millrace
