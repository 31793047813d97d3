#include "executor/graph/stage_graph.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

constexpr int kMaxNamesShown = 8;

void CollectReferences(const Node& node, std::string& path, std::vector<int>& numbers,
                       std::vector<Reference>& references) {
  std::vector<std::pair<const FieldFacts*, int>> next_index;
  for (const Value& value : node.values) {
    const FieldFacts& field = *value.field;
    if (field.is_message() ? !field.message->holds_references : field.accepts.empty()) continue;
    const size_t path_size = path.size(), numbers_size = numbers.size();
    if (!path.empty()) path += '.';
    path += field.name;
    numbers.push_back(field.number);
    if (field.repeated) {
      auto entry = absl::c_find_if(next_index, [&](const auto& e) { return e.first == &field; });
      if (entry == next_index.end()) entry = next_index.insert(entry, {&field, 0});
      absl::StrAppend(&path, ".", entry->second);
      numbers.push_back(entry->second++);
    }
    if (field.is_message()) {
      CollectReferences(*value.message, path, numbers, references);
    } else {
      references.push_back({path, numbers, &value, -1, "", FILES});
    }
    path.resize(path_size);
    numbers.resize(numbers_size);
  }
}

std::vector<OutputSpec> OutputsOf(const Node& body) {
  std::vector<OutputSpec> outputs;
  for (const auto& [name, artifact] : body.type->produces) outputs.push_back({name, artifact});
  if (body.type->name != "Custom") return outputs;
  const FieldFacts& type = body.type->Get("output").message->Get("type");
  for (const Value& value : body.values) {
    if (value.field->name != "output") continue;
    const Value* artifact = value.message->Find(type);
    outputs.push_back({std::string(value.message->Text("name")),
                       artifact == nullptr ? FILES : static_cast<Artifact>(artifact->integer)});
  }
  if (outputs.empty()) outputs.push_back({"out", FILES});
  return outputs;
}

bool Accepts(const FieldFacts& field, Artifact artifact) { return absl::c_linear_search(field.accepts, artifact); }

std::string Written(const Reference& reference, absl::string_view target) {
  return absl::StrCat(reference.value->field->name, ": \"", target, "\"");
}

class Connector {
 public:
  Connector(std::vector<StageDraft>& drafts, const Sources& sources, Diagnostics& diagnostics)
      : drafts_(drafts), sources_(sources), diagnostics_(diagnostics) {
    by_name_.reserve(drafts.size());
    for (size_t i = 0; i < drafts.size(); ++i) by_name_.try_emplace(drafts[i].name, static_cast<int>(i));
  }

  void Connect(const StageDraft& draft, Reference& reference) {
    const absl::string_view target = reference.value->text;
    const size_t dot = target.find('.');
    const auto found = by_name_.find(target.substr(0, dot));
    if (found == by_name_.end()) {
      ReportUnknown(draft, reference, target.substr(0, dot));
      return;
    }
    const StageDraft& producer = drafts_[found->second];
    if (producer.body == nullptr) return;  // has been reported
    const OutputSpec* output = &producer.outputs[0];
    if (dot != absl::string_view::npos) {
      const absl::string_view name = target.substr(dot + 1);
      const auto match = absl::c_find_if(producer.outputs, [&](const OutputSpec& spec) { return spec.name == name; });
      if (match == producer.outputs.end()) {
        ReportUnknownOutput(draft, reference, producer, name);
        return;
      }
      output = &*match;
    }
    if (!Accepts(*reference.value->field, output->artifact)) {
      ReportWrongType(draft, reference, producer, *output);
      return;
    }
    reference.producer = found->second;
    reference.output = output->name;
    reference.artifact = output->artifact;
  }

 private:
  void Error(const StageDraft& draft, const Reference& reference, absl::string_view what, std::string why,
             std::string fix) {
    diagnostics_.AddError(sources_.At(reference.value->place), absl::StrCat("stage \"", draft.name, "\": ", what),
                          std::move(why), std::move(fix));
  }

  // Stages with an output that the reference takes: by "stage", or "stage.output" if it is not the default.
  std::vector<std::pair<std::string, const StageDraft*>> Suitable(const StageDraft& draft, const Reference& reference) {
    std::vector<std::pair<std::string, const StageDraft*>> suitable;
    for (const StageDraft& other : drafts_) {
      if (&other == &draft || other.body == nullptr) continue;
      for (size_t i = 0; i < other.outputs.size(); ++i) {
        if (!Accepts(*reference.value->field, other.outputs[i].artifact)) continue;
        suitable.emplace_back(i == 0 ? std::string(other.name) : absl::StrCat(other.name, ".", other.outputs[i].name),
                              &other);
        break;
      }
    }
    return suitable;
  }

  std::string Takes(const Reference& reference) {
    return absl::StrCat("`", reference.value->field->name, "` takes ",
                        reference.value->field->accepts.size() > 6 ? "what a stage makes"
                                                                   : ArtifactPhrases(reference.value->field->accepts));
  }

  static std::string Names(const std::vector<std::pair<std::string, const StageDraft*>>& suitable) {
    std::vector<std::string> names;
    for (const auto& [name, draft] : suitable) {
      if (names.size() == kMaxNamesShown) {
        names.push_back("...");
        break;
      }
      names.push_back(absl::StrCat("\"", name, "\""));
    }
    return absl::StrJoin(names, ", ");
  }

  void ReportUnknown(const StageDraft& draft, const Reference& reference, absl::string_view name) {
    const auto suitable = Suitable(draft, reference);
    std::vector<std::string> names;
    for (const auto& [candidate, other] : suitable) names.push_back(candidate);
    std::string why = Takes(reference), fix;
    if (const std::string closest = Closest(name, names); !closest.empty()) {
      const StageDraft& other = *suitable[absl::c_find(names, closest) - names.begin()].second;
      absl::StrAppend(&why, "; closest: \"", closest, "\" (", other.kind->name, ", line ", other.node->place.line, ")");
      fix = Written(reference, closest);
    } else if (!suitable.empty()) {
      absl::StrAppend(&why, "; stages that make it: ", Names(suitable));
    } else {
      absl::StrAppend(&why, "; no stage makes it");
    }
    Error(draft, reference, absl::StrCat("no stage is named \"", name, "\""), std::move(why), std::move(fix));
  }

  void ReportUnknownOutput(const StageDraft& draft, const Reference& reference, const StageDraft& producer,
                           absl::string_view name) {
    std::vector<std::string> names;
    for (const OutputSpec& output : producer.outputs) names.push_back(output.name);
    const std::string closest = Closest(name, names);
    Error(draft, reference, absl::StrCat("\"", producer.name, "\" has no output \"", name, "\""),
          absl::StrCat("a ", producer.kind->name, " stage makes ", absl::StrJoin(names, ", ")),
          Written(reference, absl::StrCat(producer.name, ".", closest.empty() ? names[0] : closest)));
  }

  void ReportWrongType(const StageDraft& draft, const Reference& reference, const StageDraft& producer,
                       const OutputSpec& output) {
    const auto suitable = Suitable(draft, reference);
    // Another output of the same stage may be what is meant.
    std::string fix;
    for (const auto& [name, other] : suitable) {
      if (other == &producer) fix = Written(reference, name);
    }
    if (fix.empty() && suitable.size() == 1) fix = Written(reference, suitable[0].first);
    Error(draft, reference,
          absl::StrCat(Takes(reference), "; \"", reference.value->text, "\" makes ", ArtifactPhrase(output.artifact)),
          absl::StrCat("it is a ", producer.kind->name, " stage (line ", producer.node->place.line, ")",
                       suitable.empty() ? "; no stage makes what is taken"
                                        : absl::StrCat("; stages that make what is taken: ", Names(suitable))),
          std::move(fix));
  }

  std::vector<StageDraft>& drafts_;
  const Sources& sources_;
  Diagnostics& diagnostics_;
  absl::flat_hash_map<absl::string_view, int> by_name_;
};

// Reports one cycle among stages that are `left`, through `start`'s needs. Marks what it went through as seen.
void ReportCycle(const std::vector<StageDraft>& drafts, const std::vector<bool>& left, std::vector<int>& seen_in,
                 int start, const Sources& sources, Diagnostics& diagnostics) {
  // Following needs that are left over ends in a cycle, as each has one.
  std::vector<std::pair<int, const Reference*>> way;
  int at = start;
  while (seen_in[at] < 0) {
    seen_in[at] = start;
    for (const Reference& reference : drafts[at].references) {
      if (reference.producer < 0 || !left[reference.producer]) continue;
      way.emplace_back(at, &reference);
      at = reference.producer;
      break;
    }
  }
  if (seen_in[at] != start) return;  // leads to a cycle that has been reported
  const auto begin = absl::c_find_if(way, [&](const auto& step) { return step.first == at; });
  // It begins where the file first mentions it.
  std::vector<std::pair<int, const Reference*>> cycle(begin, way.end());
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
  std::vector<std::string> names;
  for (const auto& [stage, reference] : cycle) names.push_back(absl::StrCat("\"", drafts[stage].name, "\""));
  names.push_back(names.front());
  diagnostics.AddError(sources.At(cycle[0].second->value->place),
                       absl::StrCat("stage ", names[0], " needs itself: ", absl::StrJoin(names, " needs ")),
                       "none of them could run first", "take one of these references away");
}

}  // namespace

const Reference* StageDraft::Find(absl::string_view path) const {
  for (const Reference& reference : references) {
    if (reference.path == path) return &reference;
  }
  return nullptr;
}

std::string NumberPath(const std::vector<int>& numbers) { return absl::StrJoin(numbers, "."); }

std::vector<StageDraft> DraftStages(const Node& pipeline) {
  const FieldFacts& stage_field = pipeline.type->Get("stage");
  const FieldFacts& name_field = stage_field.message->Get("name");
  std::vector<StageDraft> drafts;
  drafts.reserve(pipeline.values.size());
  std::string path;
  std::vector<int> numbers;
  for (const Value& value : pipeline.values) {
    if (value.field != &stage_field) continue;
    StageDraft& draft = drafts.emplace_back();
    draft.node = value.message.get();
    for (const Value& part : draft.node->values) {
      if (part.field == &name_field) draft.name = part.text;
      if (part.field->oneof < 0) continue;
      draft.kind = part.field;
      draft.body = part.message.get();
    }
    if (draft.body == nullptr) continue;
    draft.outputs = OutputsOf(*draft.body);
    CollectReferences(*draft.body, path, numbers, draft.references);
    if (draft.references.size() > 1) {
      std::stable_sort(draft.references.begin(), draft.references.end(),
                       [](const Reference& a, const Reference& b) { return a.numbers < b.numbers; });
    }
  }
  return drafts;
}

void ConnectStages(std::vector<StageDraft>& drafts, const Sources& sources, Diagnostics& diagnostics) {
  Connector connector(drafts, sources, diagnostics);
  for (StageDraft& draft : drafts) {
    for (Reference& reference : draft.references) connector.Connect(draft, reference);
  }
}

std::vector<int> TopologicalOrder(const std::vector<StageDraft>& drafts, const Sources& sources,
                                  Diagnostics& diagnostics) {
  std::vector<int> waits_for(drafts.size());
  std::vector<std::vector<int>> readers(drafts.size());
  for (size_t i = 0; i < drafts.size(); ++i) {
    for (const Reference& reference : drafts[i].references) {
      if (reference.producer < 0) continue;
      readers[reference.producer].push_back(static_cast<int>(i));
      ++waits_for[i];
    }
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t i = 0; i < drafts.size(); ++i) {
    if (waits_for[i] == 0) ready.push(static_cast<int>(i));
  }
  std::vector<int> order;
  order.reserve(drafts.size());
  std::vector<bool> left(drafts.size(), true);
  while (!ready.empty()) {
    const int stage = ready.top();
    ready.pop();
    left[stage] = false;
    order.push_back(stage);
    for (const int reader : readers[stage]) {
      if (--waits_for[reader] == 0) ready.push(reader);
    }
  }
  std::vector<int> seen_in(drafts.size(), -1);
  for (size_t i = 0; i < drafts.size(); ++i) {
    if (left[i] && seen_in[i] < 0) ReportCycle(drafts, left, seen_in, static_cast<int>(i), sources, diagnostics);
  }
  return order;
}

}  // namespace millrace
