#include "executor/graph/schema_facts.h"

#include <algorithm>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "executor/graph/unit.h"
#include "pipelines/schema/cluster.pb.h"
#include "pipelines/schema/files.pb.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

namespace {

// Messages whose `name` is a name of the user's that others refer to, or that becomes part of a variable's name.
const absl::flat_hash_set<std::string>& Named() {
  static const auto& named = *new absl::flat_hash_set<std::string>{
      "millrace.Pipeline",         "millrace.Stage",        "millrace.Profile",
      "millrace.FilterRule",       "millrace.Custom.Input", "millrace.Custom.OutputFolder",
      "millrace.Custom.Parameter", "millrace.DataRoot"};
  return named;
}

// Messages that must be there: the option must_be_set is for leaves.
const absl::flat_hash_set<std::string>& Needed() {
  static const auto& needed = *new absl::flat_hash_set<std::string>{"millrace.Train.model", "millrace.Train.optimizer",
                                                                    "millrace.Mix.component", "millrace.Cluster.pool"};
  return needed;
}

}  // namespace

class SchemaFactsBuilder {
 public:
  SchemaFactsBuilder() {
    Add(Pipeline::descriptor());
    Add(ClusterFile::descriptor());
    Add(RetiredNames::descriptor());
  }

  const MessageFacts& Get(const Descriptor* descriptor) const {
    const auto found = facts_.find(descriptor);
    MILLRACE_CHECK(found != facts_.end());
    return *found->second;
  }

 private:
  const MessageFacts* Add(const Descriptor* descriptor) {
    if (const auto found = facts_.find(descriptor); found != facts_.end()) return found->second.get();
    MessageFacts& message = *(facts_[descriptor] = std::make_unique<MessageFacts>());
    message.descriptor = descriptor;
    message.name = descriptor->full_name().substr(descriptor->file()->package().size() + 1);
    const auto& options = descriptor->options();
    for (int i = 0; i < options.ExtensionSize(produces); ++i) {
      const Output& output = options.GetExtension(produces, i);
      message.produces.emplace_back(output.name(), output.type());
    }
    message.fields.resize(descriptor->field_count());
    message.can_change_result = descriptor->field_count() == 0;
    message.oneofs_are_needed =
        descriptor->full_name() != "millrace.LearningRateSchedule" && descriptor->full_name() != "millrace.Cluster";
    for (int i = 0; i < descriptor->field_count(); ++i) {
      FieldFacts& field = message.fields[i];
      Fill(descriptor->field(i), field);
      if (field.merge_key) message.merge_key = &field;
      message.by_name_.emplace_back(field.name, i);
      message.by_number.push_back(i);
      message.can_change_result |=
          field.is_message() ? field.message->can_change_result : field.effect.has_value() && *field.effect != NONE;
      message.holds_units |= field.is_message() ? field.message->holds_units : field.unit.has_value();
      message.holds_references |= field.is_message() ? field.message->holds_references : !field.accepts.empty();
    }
    std::sort(message.by_name_.begin(), message.by_name_.end());
    message.min = message.Find("min");
    message.max = message.Find("max");
    if (message.min == nullptr || message.max == nullptr) message.min = message.max = nullptr;
    std::sort(message.by_number.begin(), message.by_number.end(),
              [&](int a, int b) { return message.fields[a].number < message.fields[b].number; });
    return &message;
  }

  void Fill(const FieldDescriptor* descriptor, FieldFacts& field) {
    const auto& options = descriptor->options();
    field.descriptor = descriptor;
    field.name = descriptor->name();
    field.number = descriptor->number();
    field.index = descriptor->index();
    field.repeated = descriptor->is_repeated();
    field.type = descriptor->cpp_type();
    if (descriptor->real_containing_oneof() != nullptr) field.oneof = descriptor->real_containing_oneof()->index();
    if (options.HasExtension(effect)) field.effect = options.GetExtension(effect);
    for (int i = 0; i < options.ExtensionSize(accepts); ++i) field.accepts.push_back(options.GetExtension(accepts, i));
    if (options.HasExtension(unit)) field.unit = options.GetExtension(unit);
    if (options.HasExtension(at_least)) field.at_least = options.GetExtension(at_least);
    if (options.HasExtension(at_most)) field.at_most = options.GetExtension(at_most);
    field.merge_key = options.GetExtension(merge_key);
    field.must_be_set = options.GetExtension(must_be_set);
    field.source_of = options.GetExtension(source_of);
    field.has_default = descriptor->has_default_value();
    if (field.has_default && field.type == FieldDescriptor::CPPTYPE_STRING) {
      field.default_text = descriptor->default_value_string();
      if (field.unit.has_value()) {
        const auto plain = PlainNumber(field.default_text, *field.unit);
        MILLRACE_CHECK(plain.ok());
        field.default_text = *plain;
      }
    }
    const std::string& owner = descriptor->containing_type()->full_name();
    field.is_name = field.name == "name" && Named().contains(owner);
    field.needed = field.must_be_set ||
                   (!field.accepts.empty() && field.oneof < 0 && field.effect.has_value() && *field.effect != NONE) ||
                   Needed().contains(descriptor->full_name());
    field.is_input = !field.accepts.empty() || owner == "millrace.Files" ||
                     ((owner == "millrace.Corpus" || owner == "millrace.Tokenizer") && field.name == "bundled") ||
                     (owner == "millrace.Custom.Input" && field.name == "file") ||
                     (owner == "millrace.Custom" && field.name == "tool");
    if (field.type == FieldDescriptor::CPPTYPE_MESSAGE) {
      field.message = Add(descriptor->message_type());
      if (descriptor->message_type() == Files::descriptor()) field.is_input = true;
    }
  }

  absl::flat_hash_map<const Descriptor*, std::unique_ptr<MessageFacts>> facts_;
};

const FieldFacts* MessageFacts::Find(absl::string_view field_name) const {
  const auto found = std::lower_bound(by_name_.begin(), by_name_.end(), field_name,
                                      [](const auto& entry, absl::string_view name) { return entry.first < name; });
  if (found == by_name_.end() || found->first != field_name) return nullptr;
  return &fields[found->second];
}

const FieldFacts& MessageFacts::Get(absl::string_view field_name) const {
  const FieldFacts* field = Find(field_name);
  MILLRACE_CHECK(field != nullptr);
  return *field;
}

const MessageFacts& FactsOf(const Descriptor* descriptor) {
  static const SchemaFactsBuilder& facts = *new SchemaFactsBuilder;
  return facts.Get(descriptor);
}

absl::string_view ArtifactPhrase(Artifact artifact) {
  switch (artifact) {
    case DOCUMENTS:
      return "documents";
    case TOKENIZER:
      return "a tokenizer";
    case TOKENS:
      return "tokens";
    case SHARDS:
      return "shards";
    case MIXTURE:
      return "a mixture";
    case CHECKPOINT:
      return "a checkpoint";
    case METRICS:
      return "metrics";
    case FILES:
      return "files";
  }
  return "files";
}

std::string ArtifactPhrases(const std::vector<Artifact>& artifacts) {
  std::string text;
  for (size_t i = 0; i < artifacts.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == artifacts.size() ? " or " : ", ", ArtifactPhrase(artifacts[i]));
  }
  return text;
}

}  // namespace millrace
