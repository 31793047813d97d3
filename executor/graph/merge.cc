#include "executor/graph/merge.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "executor/graph/field_checks.h"
#include "executor/graph/field_path.h"
#include "executor/graph/parse.h"

namespace millrace {
namespace {

void MergeKeyed(Node& base, const Node& overlay, const FieldFacts& field) {
  const FieldFacts& key = *field.message->merge_key;
  // Entries without a key are paired in order.
  const auto key_of = [&](const Value& value, int& without) {
    const Value* found = value.message->Find(key);
    return found == nullptr ? absl::StrCat(".", without++) : found->text;
  };
  int base_without = 0, overlay_without = 0;
  // Positions, as adding values moves them.
  absl::flat_hash_map<std::string, size_t> by_key;
  for (size_t i = 0; i < base.values.size(); ++i) {
    if (base.values[i].field == &field) by_key.try_emplace(key_of(base.values[i], base_without), i);
  }
  for (const Value& value : overlay.values) {
    if (value.field != &field) continue;
    const std::string name = key_of(value, overlay_without);
    if (const auto found = by_key.find(name); found != by_key.end()) {
      MergeInto(*base.values[found->second].message, *value.message);
    } else {
      by_key.emplace(name, base.values.size());
      base.values.push_back(value.Clone());
    }
  }
}

class ProfileApplier {
 public:
  ProfileApplier(Node& pipeline, const Sources& sources, Diagnostics& diagnostics, ProfileSettings& settings)
      : pipeline_(pipeline), sources_(sources), diagnostics_(diagnostics), settings_(settings) {
    // Taken out, so that the profiles stay where they are while the pipeline changes.
    const FieldFacts& field = pipeline.type->Get("profile");
    for (Value& value : pipeline.values) {
      if (value.field == &field) profiles_.push_back(std::move(value));
    }
    pipeline.Clear(field);
  }

  bool Apply(absl::string_view name, const Location& asked_at, absl::string_view asked_by) {
    const Value* profile = nullptr;
    std::vector<std::string> names;
    for (const Value& value : profiles_) {
      names.emplace_back(value.message->Text("name"));
      if (names.back() == name && profile == nullptr) profile = &value;
    }
    if (profile == nullptr) {
      const std::string closest = Closest(name, names);
      diagnostics_.AddError(
          asked_at, absl::StrCat(asked_by, ": no profile is named \"", name, "\""),
          names.empty() ? "the file has no profiles" : absl::StrCat("its profiles are ", absl::StrJoin(names, ", ")),
          !closest.empty() || !names.empty() || asked_at.line > 0 ? closest : "leave --profile out");
      return false;
    }
    if (absl::c_linear_search(open_, name)) {
      diagnostics_.AddError(asked_at,
                            absl::StrCat("profiles extend each other: ", absl::StrJoin(open_, " -> "), " -> ", name),
                            "none of them would be applied first", "take one `extends` away");
      return false;
    }
    if (!applied_.insert(std::string(name)).second) return true;
    open_.emplace_back(name);
    const Node& node = *profile->message;
    bool good = true;
    for (const Value* extended : node.All("extends"))
      good &= Apply(extended->text, sources_.At(extended->place), absl::StrCat("profile \"", name, "\""));
    for (const Value* removed : node.All("remove")) {
      FieldPath path;
      if (ResolveRemoval(*removed, path)) {
        RemoveAt(pipeline_, path);
      } else {
        good = false;
      }
    }
    Overlay(node);
    open_.pop_back();
    return good;
  }

 private:
  bool ResolveRemoval(const Value& removed, FieldPath& path) {
    return ResolveFieldPath(pipeline_, removed.text, sources_.At(removed.place), diagnostics_, path);
  }

  // Profile.stage, .reproducibility and .seed are those of Pipeline.
  void Overlay(const Node& profile) {
    Node overlay(pipeline_.type, profile.place);
    bool has_targets = false, has_expectations = false;
    for (const Value& value : profile.values) {
      if (value.field->name == "target") {
        if (!std::exchange(has_targets, true)) settings_.targets.clear();
        settings_.targets.push_back(value.Clone());
      } else if (value.field->name == "expect") {
        if (!std::exchange(has_expectations, true)) settings_.expectations.clear();
        settings_.expectations.push_back(value.Clone());
      } else if (value.field->name == "stage" || value.field->name == "reproducibility" ||
                 value.field->name == "seed") {
        overlay.values.push_back(value.Clone());
        overlay.values.back().field = &pipeline_.type->Get(value.field->name);
      }
    }
    MergeInto(pipeline_, overlay);
  }

  Node& pipeline_;
  const Sources& sources_;
  Diagnostics& diagnostics_;
  ProfileSettings& settings_;
  std::vector<Value> profiles_;
  std::vector<std::string> open_;  // being applied: the way down
  absl::flat_hash_set<std::string> applied_;
};

}  // namespace

void ClearOneofMates(Node& node, const FieldFacts& field) {
  if (field.oneof < 0) return;
  node.values.erase(
      std::remove_if(node.values.begin(), node.values.end(),
                     [&](const Value& value) { return value.field->oneof == field.oneof && value.field != &field; }),
      node.values.end());
}

void MergeInto(Node& base, const Node& overlay) {
  base.damaged |= overlay.damaged;
  std::vector<const FieldFacts*> lists;  // repeated fields that have been dealt with
  for (const Value& value : overlay.values) {
    const FieldFacts& field = *value.field;
    if (field.repeated) {
      if (absl::c_linear_search(lists, &field)) continue;
      lists.push_back(&field);
      if (field.is_message() && field.message->merge_key != nullptr) {
        MergeKeyed(base, overlay, field);
      } else {
        base.Clear(field);
        for (const Value& entry : overlay.values) {
          if (entry.field == &field) base.values.push_back(entry.Clone());
        }
      }
      continue;
    }
    ClearOneofMates(base, field);
    Value* present = base.Find(field);
    if (present == nullptr) {
      base.values.push_back(value.Clone());
    } else if (field.is_message()) {
      MergeInto(*present->message, *value.message);
    } else {
      *present = value.Clone();
    }
  }
}

bool ApplyProfile(Node& pipeline, absl::string_view name, const Location& asked_at, const Sources& sources,
                  Diagnostics& diagnostics, ProfileSettings& settings) {
  ProfileApplier applier(pipeline, sources, diagnostics, settings);
  if (name.empty()) return true;
  return applier.Apply(name, asked_at, asked_at.line == 0 ? absl::StrCat("--profile=", name) : "default_profile");
}

bool ApplySet(Node& pipeline, absl::string_view assignment, const Sources& sources, Place place,
              Diagnostics& diagnostics) {
  const size_t equals = assignment.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    diagnostics.AddError(sources.At(place), absl::StrCat("\"", assignment, "\" sets nothing"),
                         "a field's path, `=`, its value", "--set pretrain.max_tokens=50k");
    return false;
  }
  FieldPath path;
  if (!ResolveFieldPath(pipeline, assignment.substr(0, equals), sources.At(place), diagnostics, path)) return false;
  if (path.steps.back().entry >= 0) {
    diagnostics.AddError(sources.At(place), absl::StrCat("\"", path.text, "\" is no field"), "it names a list's entry",
                         absl::StrCat(path.text, ".FIELD"));
    return false;
  }
  std::vector<Value> values;
  if (!ParseFlagValue(assignment.substr(equals + 1), *path.steps.back().field, sources, place, diagnostics, values))
    return false;
  for (const Value& value : values) {
    CheckValue(value, sources, diagnostics);
    if (value.message != nullptr) CheckValues(*value.message, sources, diagnostics);
  }
  SetAt(pipeline, path, std::move(values));
  return true;
}

}  // namespace millrace
