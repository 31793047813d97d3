#include "executor/graph/field_checks.h"

#include <cmath>
#include <cstdlib>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/quantity.h"
#include "re2/re2.h"

namespace millrace {
namespace {

using google::protobuf::FieldDescriptor;

std::string NumberText(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return absl::StrCat(static_cast<int64_t>(value));
  return absl::StrCat(value);
}

// Digits that read back as the same number.
std::string ExactText(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return absl::StrCat(static_cast<int64_t>(value));
  for (int digits = 6; digits <= 17; ++digits) {
    const std::string text = absl::StrFormat("%.*g", digits, value);
    if (std::strtod(text.c_str(), nullptr) == value) return text;
  }
  return absl::StrFormat("%.17g", value);
}

absl::StatusOr<std::string> PlainNumber(absl::string_view text, Unit unit) {
  switch (unit) {
    case TOKENS_COUNT: {
      const auto tokens = ParseTokens(text);
      if (!tokens.ok()) return tokens.status();
      return absl::StrCat(*tokens);
    }
    case BYTES_SIZE: {
      const auto bytes = ParseBytes(text);
      if (!bytes.ok()) return bytes.status();
      return absl::StrCat(*bytes);
    }
    case DURATION: {
      const auto seconds = ParseDurationSeconds(text);
      if (!seconds.ok()) return seconds.status();
      return ExactText(*seconds);
    }
    case BANDWIDTH: {
      const auto bandwidth = ParseBandwidth(text);
      if (!bandwidth.ok()) return bandwidth.status();
      return ExactText(*bandwidth);
    }
    case FRACTION:
      break;
  }
  return std::string(text);
}

const char* ExampleOf(Unit unit) {
  switch (unit) {
    case TOKENS_COUNT:
      return "\"2.4M\"";
    case BYTES_SIZE:
      return "\"64MiB\"";
    case DURATION:
      return "\"30m\"";
    case BANDWIDTH:
      return "\"10Gbit/s\"";
    case FRACTION:
      return "0.5";
  }
  return "";
}

// Fields whose value is a name of the user's.
bool MustBeName(const MessageFacts& type, const FieldFacts& field) {
  if (field.name != "name") return false;
  return type.name == "Pipeline" || type.name == "Stage" || type.name == "Profile" || type.name == "FilterRule" ||
         type.name == "Custom.Input" || type.name == "Custom.OutputFolder" || type.name == "Custom.Parameter" ||
         type.name == "DataRoot";
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
  const FieldFacts* min_field = node.type->Find("min");
  const FieldFacts* max_field = node.type->Find("max");
  if (min_field == nullptr || max_field == nullptr) return;
  const Value* min = node.Find(*min_field);
  const Value* max = node.Find(*max_field);
  if (min == nullptr || max == nullptr || min->real <= max->real) return;
  diagnostics.AddError(sources.At(min->place),
                       absl::StrCat("min ", ScalarText(*min), " is above max ", ScalarText(*max)),
                       "nothing is within such bounds", "");
}

// oneofs that may be left unset.
bool IsOptionalOneof(const std::string& message) { return message == "LearningRateSchedule" || message == "Cluster"; }

// Messages that must be there for the one that holds them, beside what the schema's options say.
struct RequiredMessage {
  const char* message;
  const char* field;
  const char* fix;
};
constexpr RequiredMessage kRequiredMessages[] = {
    {"Train", "model", "model { preset: DEEPSEEK_LLM_7B }"},
    {"Train", "optimizer", "optimizer { adamw { learning_rate: 4.2e-4 } }"},
    {"Mix", "component", "component { from: \"shards\" weight: 1 }"},
    {"Cluster", "pool", "pool { name: \"cpu\" cpus: 8 }"},
};

std::string OwnerOf(const Node& node) {
  const size_t dot = node.type->name.rfind('.');
  std::string name = dot == std::string::npos ? node.type->name : node.type->name.substr(dot + 1);
  // A stage is known by its name.
  if (const FieldFacts* key = node.type->merge_key; key != nullptr && key->name == "name") {
    if (const Value* value = node.Find(*key); value != nullptr)
      return absl::StrCat(absl::AsciiStrToLower(name), " \"", value->text, "\"");
  }
  return name;
}

void Missing(Node& node, const Sources& sources, Diagnostics& diagnostics, absl::string_view what,
             absl::string_view why, absl::string_view fix) {
  diagnostics.AddError(sources.At(node.place), absl::StrCat(OwnerOf(node), " has no ", what), std::string(why),
                       std::string(fix));
}

std::string ExampleValue(const FieldFacts& field) {
  if (field.is_message()) return absl::StrCat(field.name, " { ... }");
  if (field.unit.has_value()) return absl::StrCat(field.name, ": ", ExampleOf(*field.unit));
  if (field.type == FieldDescriptor::CPPTYPE_STRING) return absl::StrCat(field.name, ": \"...\"");
  return absl::StrCat(field.name, ": ...");
}

void CheckOneofs(Node& node, const Sources& sources, Diagnostics& diagnostics) {
  if (IsOptionalOneof(node.type->name)) return;
  const auto* descriptor = node.type->descriptor;
  for (int i = 0; i < descriptor->oneof_decl_count(); ++i) {
    if (node.OneofMember(i) != nullptr) continue;
    std::vector<std::string> members, examples;
    for (const FieldFacts& field : node.type->fields) {
      if (field.oneof != i) continue;
      members.push_back(field.name);
      examples.push_back(ExampleValue(field));
    }
    const absl::string_view oneof = descriptor->oneof_decl(i)->name();
    Missing(node, sources, diagnostics, oneof == "kind" ? "kind" : absl::StrJoin(members, " and no "),
            absl::StrCat("one of ", absl::StrJoin(members, ", "), " must be set"),
            absl::StrJoin(examples.begin(), examples.begin() + std::min<size_t>(2, examples.size()), ", or "));
    node.damaged = true;
  }
}

void CheckKeys(const Node& node, const Sources& sources, Diagnostics& diagnostics) {
  absl::flat_hash_map<std::pair<const FieldFacts*, absl::string_view>, const Value*> first;
  for (const Value& value : node.values) {
    if (!value.field->repeated || value.message == nullptr || value.field->message->merge_key == nullptr) continue;
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

void CheckValue(const Value& value, const Node& holder, const Sources& sources, Diagnostics& diagnostics) {
  const FieldFacts& field = *value.field;
  if (field.type == FieldDescriptor::CPPTYPE_STRING) {
    if (field.unit.has_value()) {
      if (const auto plain = PlainNumber(value.text, *field.unit); !plain.ok()) {
        diagnostics.AddError(sources.At(value.place),
                             absl::StrCat(field.name, ": ", std::string(plain.status().message())), "",
                             absl::StrCat(field.name, ": ", ExampleOf(*field.unit)));
      }
    } else if (MustBeName(*holder.type, field) && !IsName(value.text)) {
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
    CheckValue(value, node, sources, diagnostics);
    if (value.message != nullptr) CheckValues(*value.message, sources, diagnostics);
  }
  CheckMinMax(node, sources, diagnostics);
  if (node.type->name == "FilterRule") CheckReplacement(node, sources, diagnostics);
}

void CheckStructure(Node& node, const Sources& sources, Diagnostics& diagnostics) {
  const MessageFacts& type = *node.type;
  if (!node.damaged) {
    for (const FieldFacts& field : type.fields) {
      const bool needed = field.must_be_set || (!field.accepts.empty() && field.oneof < 0 && field.effect.has_value() &&
                                                *field.effect != NONE);
      if (!needed || node.Find(field) != nullptr) continue;
      const std::string why = !field.accepts.empty() ? absl::StrCat("it takes ", ArtifactPhrases(field.accepts)) : "";
      Missing(node, sources, diagnostics, field.name, why, ExampleValue(field));
      node.damaged = true;
    }
    for (const RequiredMessage& required : kRequiredMessages) {
      if (type.name != required.message || type.Get(required.field).must_be_set ||
          node.Find(required.field) != nullptr) {
        continue;
      }
      Missing(node, sources, diagnostics, required.field, "", required.fix);
      node.damaged = true;
    }
    CheckOneofs(node, sources, diagnostics);
  }
  CheckKeys(node, sources, diagnostics);
  CheckMinMax(node, sources, diagnostics);
  for (Value& value : node.values) {
    if (value.message != nullptr) CheckStructure(*value.message, sources, diagnostics);
  }
}

void NormalizeUnits(Node& node) {
  for (Value& value : node.values) {
    if (value.message != nullptr) {
      NormalizeUnits(*value.message);
    } else if (value.field->unit.has_value() && value.field->type == FieldDescriptor::CPPTYPE_STRING) {
      if (auto plain = PlainNumber(value.text, *value.field->unit); plain.ok()) value.text = *std::move(plain);
    }
  }
}

}  // namespace millrace
