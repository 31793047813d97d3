#include "executor/graph/field_checks.h"

#include <cmath>
#include <cstdlib>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "executor/graph/unit.h"
#include "pipelines/schema/filter.pb.h"
#include "re2/re2.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;

std::string NumberText(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return absl::StrCat(static_cast<int64_t>(value));
  return absl::StrCat(value);
}

// The nearest thing to `text` that is a name.
std::string AsName(absl::string_view text) {
  std::string name;
  for (const char c : text) {
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9' && !name.empty())) {
      name += lower;
    } else if (!name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  while (!name.empty() && name.back() == '_') name.pop_back();
  return name;
}

double NumberOf(const Value& value) {
  switch (value.field->type) {
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return value.real;
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(value.natural);
    default:
      return static_cast<double>(value.integer);
  }
}

void CheckBounds(const Value& value, const Location& location, Diagnostics& diagnostics) {
  const FieldFacts& field = *value.field;
  const double number = NumberOf(value);
  absl::optional<double> low = field.at_least, high = field.at_most;
  if (field.unit.has_value() && *field.unit == FRACTION) {
    low = std::max(low.value_or(0), 0.0);
    high = std::min(high.value_or(1), 1.0);
  }
  if (!(low.has_value() && number < *low) && !(high.has_value() && number > *high)) return;
  std::string why = low.has_value() && high.has_value()
                        ? absl::StrCat("it is from ", NumberText(*low), " to ", NumberText(*high))
                    : low.has_value() ? absl::StrCat("it is at least ", NumberText(*low))
                                      : absl::StrCat("it is at most ", NumberText(*high));
  const bool too_low = low.has_value() && number < *low;
  diagnostics.AddError(location, absl::StrCat(field.name, " ", ScalarText(value), " is too ", too_low ? "low" : "high"),
                       std::move(why), absl::StrCat(field.name, ": ", NumberText(too_low ? *low : *high)));
}

void CheckRegularExpression(const Value& value, const Location& location, Diagnostics& diagnostics) {
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 expression(value.text, options);
  if (expression.ok()) return;
  diagnostics.AddError(location, absl::StrCat(value.field->name, " is no regular expression: ", expression.error()),
                       absl::StrCat("in \"", value.text, "\", by RE2's syntax"), "");
}

// \1 and the like in `replacement` must be groups of the pattern.
void CheckReplacement(const Node& rule, const Sources& sources, Diagnostics& diagnostics) {
  const Value* replacement = rule.Find("replacement");
  const Value* pattern = rule.Find("redact_matching");
  if (replacement == nullptr || pattern == nullptr) return;
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 expression(pattern->text, options);
  std::string error;
  if (!expression.ok() || expression.CheckRewriteString(replacement->text, &error)) return;
  diagnostics.AddError(sources.At(replacement->place), "replacement does not go with the pattern", error,
                       "\\1 is the pattern's first group, \\\\ a backslash");
}

void CheckMinMax(const Node& node, const Sources& sources, Diagnostics& diagnostics) {
  if (node.type->min == nullptr) return;
  const Value* min = node.Find(*node.type->min);
  const Value* max = node.Find(*node.type->max);
  if (min == nullptr || max == nullptr || min->real <= max->real) return;
  diagnostics.AddError(sources.At(min->place),
                       absl::StrCat("min ", ScalarText(*min), " is above max ", ScalarText(*max)),
                       "nothing is within such bounds", "");
}

// `held_as` is the name of the field that holds the node.
std::string OwnerOf(const Node& node, absl::string_view held_as) {
  if (const FieldFacts* key = node.type->merge_key; key != nullptr && key->name == "name") {
    if (const Value* value = node.Find(*key); value != nullptr) return absl::StrCat(held_as, " \"", value->text, "\"");
  }
  return std::string(held_as);
}

struct Checked {
  Node& node;
  absl::string_view held_as;
  const Sources& sources;
  Diagnostics& diagnostics;
};

void Missing(const Checked& checked, absl::string_view what, absl::string_view why, absl::string_view fix) {
  checked.diagnostics.AddError(checked.sources.At(checked.node.place),
                               absl::StrCat(OwnerOf(checked.node, checked.held_as), " has no ", what), std::string(why),
                               std::string(fix));
  checked.node.damaged = true;
}

std::string ExampleValue(const FieldFacts& field) {
  if (field.name == "model" && field.is_message()) return "model { preset: DEEPSEEK_LLM_7B }";
  if (field.name == "optimizer") return "optimizer { adamw { learning_rate: 4.2e-4 } }";
  if (field.is_message()) return absl::StrCat(field.name, " { ... }");
  if (field.unit.has_value()) return absl::StrCat(field.name, ": ", ExampleOf(*field.unit));
  if (field.type == FieldDescriptor::CPPTYPE_STRING) return absl::StrCat(field.name, ": \"...\"");
  return absl::StrCat(field.name, ": ...");
}

void CheckOneofs(const Checked& checked) {
  const Node& node = checked.node;
  if (!node.type->oneofs_are_needed) return;
  const auto* descriptor = node.type->descriptor;
  for (int i = 0; i < descriptor->oneof_decl_count(); ++i) {
    if (node.OneofMember(i) != nullptr) continue;
    std::vector<std::string> members, examples;
    for (const FieldFacts& field : node.type->fields) {
      if (field.oneof != i) continue;
      members.push_back(field.name);
      examples.push_back(ExampleValue(field));
    }
    const bool many = members.size() > 2;
    if (many) examples.resize(2);
    Missing(checked,
            !many                             ? absl::StrJoin(members, " and no ")
            : node.type->name == "FilterRule" ? "test"
                                              : descriptor->oneof_decl(i)->name(),
            many ? absl::StrCat("it is one of ", absl::StrJoin(members, ", ")) : "", absl::StrJoin(examples, ", or "));
  }
}

void CheckKeys(const Node& node, const Sources& sources, Diagnostics& diagnostics) {
  const auto has_key = [](const Value& value) {
    return value.field->repeated && value.message != nullptr && value.field->message->merge_key != nullptr;
  };
  if (absl::c_count_if(node.values, has_key) < 2) return;
  absl::flat_hash_map<std::pair<const FieldFacts*, absl::string_view>, const Value*> first;
  for (const Value& value : node.values) {
    if (!has_key(value)) continue;
    const FieldFacts& key = *value.field->message->merge_key;
    const Value* name = value.message->Find(key);
    if (name == nullptr) continue;
    const auto [found, inserted] = first.try_emplace({value.field, name->text}, name);
    if (inserted) continue;
    diagnostics.AddError(
        sources.At(name->place),
        absl::StrCat("two of ", value.field->name, " have the ", key.name, " \"", name->text, "\""),
        absl::StrCat("the first is in line ", found->second->place.line, "; a profile could not tell them apart"),
        absl::StrCat("another ", key.name));
  }
}

}  // namespace

bool IsName(absl::string_view text) {
  if (text.empty() || text[0] < 'a' || text[0] > 'z') return false;
  for (const char c : text) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

void CheckValue(const Value& value, const Sources& sources, Diagnostics& diagnostics) {
  const FieldFacts& field = *value.field;
  if (field.type == FieldDescriptor::CPPTYPE_STRING) {
    if (field.unit.has_value()) {
      if (const auto plain = PlainNumber(value.text, *field.unit); !plain.ok()) {
        diagnostics.AddError(sources.At(value.place),
                             absl::StrCat(field.name, ": ", std::string(plain.status().message())), "",
                             absl::StrCat(field.name, ": ", ExampleOf(*field.unit)));
      } else if (std::strtod(plain->c_str(), nullptr) <= 0) {
        diagnostics.AddError(sources.At(value.place), absl::StrCat(field.name, " ", ScalarText(value), " is too low"),
                             "it is more than 0", absl::StrCat(field.name, ": ", ExampleOf(*field.unit)));
      }
    } else if (field.is_name && !IsName(value.text)) {
      diagnostics.AddError(sources.At(value.place), absl::StrCat("\"", value.text, "\" is no name"),
                           "names are small letters, digits and _, beginning with a letter", AsName(value.text));
    } else if (field.name == "drop_matching" || field.name == "redact_matching") {
      CheckRegularExpression(value, sources.At(value.place), diagnostics);
    }
    return;
  }
  if (!field.is_message() && (field.at_least.has_value() || field.at_most.has_value() || field.unit.has_value()))
    CheckBounds(value, sources.At(value.place), diagnostics);
}

void CheckValues(const Node& node, const Sources& sources, Diagnostics& diagnostics) {
  for (const Value& value : node.values) {
    CheckValue(value, sources, diagnostics);
    if (value.message != nullptr) CheckValues(*value.message, sources, diagnostics);
  }
  CheckKeys(node, sources, diagnostics);
  CheckMinMax(node, sources, diagnostics);
  if (node.type->descriptor == FilterRule::descriptor()) CheckReplacement(node, sources, diagnostics);
}

void CheckStructure(Node& node, absl::string_view held_as, const Sources& sources, Diagnostics& diagnostics) {
  if (!node.damaged) {
    const Checked checked{node, held_as, sources, diagnostics};
    for (const FieldFacts& field : node.type->fields) {
      if (!field.needed || node.Find(field) != nullptr) continue;
      Missing(checked, field.name,
              field.accepts.empty() ? "" : absl::StrCat("it takes ", ArtifactPhrases(field.accepts)),
              ExampleValue(field));
    }
    CheckOneofs(checked);
  }
  CheckMinMax(node, sources, diagnostics);
  for (Value& value : node.values) {
    if (value.message != nullptr) CheckStructure(*value.message, value.field->name, sources, diagnostics);
  }
}

void NormalizeUnits(Node& node) {
  if (!node.type->holds_units) return;
  for (Value& value : node.values) {
    if (value.message != nullptr) {
      NormalizeUnits(*value.message);
    } else if (value.field->unit.has_value() && value.field->type == FieldDescriptor::CPPTYPE_STRING) {
      if (auto plain = PlainNumber(value.text, *value.field->unit); plain.ok()) value.text = *std::move(plain);
    }
  }
}

}  // namespace millrace
