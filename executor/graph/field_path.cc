// All fields that a path can mean are enumerated from the schema along what the pipeline holds: stages by name, each
// with the fields of its kind. The written names must be a subsequence of a field's full path that ends with its own
// name.
#include "executor/graph/field_path.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "executor/graph/merge.h"

namespace millrace {
namespace {

constexpr int kMaxCandidatesShown = 8;

struct Candidate {
  FieldPath path;
  int omitted = 0;   // names left out, but for `stage` and the stage's kind
  int switches = 0;  // members of oneofs on the way that are not the ones set
};

bool IsStageList(const FieldFacts& field) { return field.name == "stage" && field.repeated; }
bool IsKind(const MessageFacts& type, const FieldFacts& field) { return type.name == "Stage" && field.oneof >= 0; }

// What --set and `remove` do not reach.
bool IsHidden(const MessageFacts& type, const FieldFacts& field) {
  if (type.name == "Pipeline")
    return field.name == "profile" || field.name == "default_profile" || field.name == "name";
  return field.merge_key;
}

class Search {
 public:
  // `only_stage`: words[0] is a stage's name, so other stages are not meant.
  Search(std::vector<std::string> words, bool only_stage) : words_(std::move(words)), only_stage_(only_stage) {}

  void Walk(const MessageFacts& type, const Node* node, size_t matched) {
    if (steps_.size() > 12) return;
    for (const FieldFacts& field : type.fields) {
      if (IsHidden(type, field)) continue;
      int switched = 0;
      if (field.oneof >= 0 && node != nullptr) {
        const Value* member = node->OneofMember(field.oneof);
        if (member != nullptr && member->field != &field) switched = 1;
        // Another kind of a stage is another stage.
        if (IsKind(type, field) && (member == nullptr || switched > 0)) continue;
      }
      switches_ += switched;
      steps_.push_back({&field, -1});
      const bool free = IsStageList(field) || IsKind(type, field);
      if (!free) names_.push_back(field.name);
      const bool named = matched < words_.size() && words_[matched] == field.name;
      if (named && matched + 1 == words_.size()) Add();
      if (field.is_message()) {
        // Whether a name is the field's or left out, both are tried only where it could be a later one's.
        const size_t next = named && matched + 1 < words_.size() ? matched + 1 : matched;
        const int left_out = next == matched && !free ? 1 : 0;
        omitted_ += left_out;
        Descend(field, node, next);
        omitted_ -= left_out;
      }
      if (!free) names_.pop_back();
      steps_.pop_back();
      switches_ -= switched;
    }
  }

  std::vector<Candidate>& candidates() { return candidates_; }

 private:
  void Descend(const FieldFacts& field, const Node* node, size_t matched) {
    if (!field.repeated) {
      const Value* value = node == nullptr ? nullptr : node->Find(field);
      Walk(*field.message, value == nullptr ? nullptr : value->message.get(), matched);
      return;
    }
    if (node == nullptr) return;
    int index = 0;
    for (const Value& value : node->values) {
      if (value.field != &field) continue;
      const MessageFacts& type = *field.message;
      const std::string key =
          type.merge_key == nullptr ? absl::StrCat(index) : std::string(value.message->Text(type.merge_key->name));
      const bool named = matched < words_.size() && words_[matched] == key;
      steps_.back().entry = index++;
      names_.push_back(key);
      if (named && matched + 1 == words_.size()) Add();
      const size_t next = named ? matched + 1 : matched;
      // A stage that the path begins with is no other's.
      if (!(IsStageList(field) && !named && only_stage_)) {
        omitted_ += !named;
        if (next < words_.size()) Walk(type, value.message.get(), next);
        omitted_ -= !named;
      }
      names_.pop_back();
      steps_.back().entry = -1;
    }
  }

  void Add() {
    Candidate candidate;
    candidate.path.steps = steps_;
    candidate.path.text = absl::StrJoin(names_, ".");
    candidate.omitted = omitted_;
    candidate.switches = switches_;
    candidates_.push_back(std::move(candidate));
  }

  const std::vector<std::string> words_;
  const bool only_stage_;
  std::vector<FieldPath::Step> steps_;
  std::vector<std::string> names_;
  int omitted_ = 0;
  int switches_ = 0;
  std::vector<Candidate> candidates_;
};

std::vector<std::string> StageNames(const Node& pipeline) {
  std::vector<std::string> names;
  for (const Value* stage : pipeline.All("stage")) names.emplace_back(stage->message->Text("name"));
  return names;
}

// Names of all fields within `node` that are set or could be.
void CollectNames(const MessageFacts& type, const Node* node, int depth, std::vector<std::string>& names) {
  for (const FieldFacts& field : type.fields) {
    if (IsHidden(type, field) || IsStageList(field)) continue;
    const Value* value = node == nullptr ? nullptr : node->Find(field);
    if (IsKind(type, field) && value == nullptr) continue;
    if (!IsKind(type, field)) names.push_back(field.name);
    if (field.is_message() && depth > 0)
      CollectNames(*field.message, value == nullptr ? nullptr : value->message.get(), depth - 1, names);
  }
}

std::string Quoted(const std::vector<std::string>& paths) {
  std::vector<std::string> shown;
  for (const std::string& path : paths) {
    if (shown.size() == kMaxCandidatesShown) {
      shown.push_back("...");
      break;
    }
    shown.push_back(path);
  }
  return absl::StrJoin(shown, ", ");
}

void ReportNothing(const Node& pipeline, const std::vector<std::string>& words, absl::string_view path,
                   const Location& location, Diagnostics& diagnostics) {
  const std::vector<std::string> stages = StageNames(pipeline);
  const Node* stage = nullptr;
  for (const Value* value : pipeline.All("stage")) {
    if (value->message->Text("name") == words[0]) stage = value->message.get();
  }
  if (stage == nullptr && words.size() > 1) {
    const std::string closest = Closest(words[0], stages);
    diagnostics.AddError(location, absl::StrCat("no stage is named \"", words[0], "\""),
                         absl::StrCat("\"", path, "\" is a stage's name, then a field's; stages are ", Quoted(stages)),
                         closest.empty() ? ""
                                         : absl::StrJoin(
                                               [&] {
                                                 std::vector<std::string> fixed = words;
                                                 fixed[0] = closest;
                                                 return fixed;
                                               }(),
                                               "."));
    return;
  }
  if (stage != nullptr && words.size() == 1) {
    diagnostics.AddError(location, absl::StrCat("\"", path, "\" is a stage, not a field"), "",
                         absl::StrCat(path, ".FIELD"));
    return;
  }
  // The same with the closest last name, and with the last name alone.
  std::vector<std::string> names;
  if (stage != nullptr) {
    CollectNames(*stage->type, stage, 6, names);
  } else {
    CollectNames(*pipeline.type, &pipeline, 6, names);
    for (const Value* value : pipeline.All("stage"))
      CollectNames(*value->message->type, value->message.get(), 6, names);
    names.insert(names.end(), stages.begin(), stages.end());
  }
  std::vector<std::string> guesses;
  const std::string closest = absl::c_linear_search(names, words.back()) ? words.back() : Closest(words.back(), names);
  if (!closest.empty()) {
    std::vector<std::string> shorter;
    if (stage != nullptr) shorter.push_back(words[0]);
    shorter.push_back(closest);
    Search search(shorter, stage != nullptr);
    search.Walk(*pipeline.type, &pipeline, 0);
    for (const Candidate& candidate : search.candidates()) guesses.push_back(candidate.path.text);
    if (guesses.empty()) guesses.push_back(closest);
  }
  diagnostics.AddError(location,
                       stage != nullptr ? absl::StrCat("stage \"", words[0], "\" has no field \"",
                                                       absl::StrJoin(words.begin() + 1, words.end(), "."), "\"")
                                        : absl::StrCat("nothing is named \"", path, "\""),
                       "a path is a stage's name, then field names; some may be left out", Quoted(guesses));
}

// The node that holds the last step's field; nullptr if something on the way is not set and `create` is not asked for.
Node* HolderOf(Node& pipeline, const FieldPath& path, bool create) {
  Node* node = &pipeline;
  for (size_t i = 0; i + 1 < path.steps.size(); ++i) {
    const auto& [field, entry] = path.steps[i];
    if (field->repeated) {
      int index = entry;
      Node* next = nullptr;
      for (Value& value : node->values) {
        if (value.field == field && index-- == 0) next = value.message.get();
      }
      if (next == nullptr) return nullptr;
      node = next;
      continue;
    }
    Value* value = node->Find(*field);
    if (value == nullptr) {
      if (!create) return nullptr;
      ClearOneofMates(*node, *field);
      Value added(field, node->place);
      added.message = std::make_unique<Node>(field->message, node->place);
      node->values.push_back(std::move(added));
      value = &node->values.back();
    }
    node = value->message.get();
  }
  return node;
}

}  // namespace

bool ResolveFieldPath(const Node& pipeline, absl::string_view path, const Location& location, Diagnostics& diagnostics,
                      FieldPath& out) {
  const std::vector<std::string> words = absl::StrSplit(path, '.');
  if (absl::c_linear_search(words, "")) {
    diagnostics.AddError(location, absl::StrCat("\"", path, "\" is no path"), "a name between the dots is missing");
    return false;
  }
  const std::vector<std::string> stages = StageNames(pipeline);
  Search search(words, absl::c_linear_search(stages, words[0]));
  search.Walk(*pipeline.type, &pipeline, 0);
  std::vector<Candidate>& all = search.candidates();

  std::vector<Candidate*> meant;
  const auto select = [&](auto&& predicate) {
    if (!meant.empty()) return;
    for (Candidate& candidate : all) {
      if (predicate(candidate)) meant.push_back(&candidate);
    }
  };
  select([](const Candidate& c) { return c.omitted == 0; });
  select([](const Candidate& c) { return c.switches == 0; });
  select([](const Candidate&) { return true; });
  if (meant.empty()) {
    ReportNothing(pipeline, words, path, location, diagnostics);
    return false;
  }
  if (meant.size() > 1) {
    std::vector<std::string> texts;
    for (const Candidate* candidate : meant) texts.push_back(candidate->path.text);
    diagnostics.AddError(location, absl::StrCat("\"", path, "\" can mean ", meant.size(), " fields"),
                         "names may be left out only where one field is meant", absl::StrCat("one of ", Quoted(texts)));
    return false;
  }
  out = std::move(meant[0]->path);
  return true;
}

void RemoveAt(Node& pipeline, const FieldPath& path) {
  Node* holder = HolderOf(pipeline, path, false);
  if (holder == nullptr) return;
  const FieldPath::Step& last = path.steps.back();
  if (last.entry < 0) {
    holder->Clear(*last.field);
    return;
  }
  int index = last.entry;
  for (auto value = holder->values.begin(); value != holder->values.end(); ++value) {
    if (value->field == last.field && index-- == 0) {
      holder->values.erase(value);
      return;
    }
  }
}

void SetAt(Node& pipeline, const FieldPath& path, std::vector<Value> values) {
  Node* holder = HolderOf(pipeline, path, true);
  if (holder == nullptr) return;
  Node overlay(holder->type, holder->place);
  for (Value& value : values) overlay.values.push_back(std::move(value));
  MergeInto(*holder, overlay);
}

}  // namespace millrace
