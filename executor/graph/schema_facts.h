// What the schema says of each field, read once from the descriptors' options: looking options up costs more than the
// rest of loading a file.
//
// All messages that a pipeline file or a cluster file can hold are here. Built at first use; immutable and
// thread-safe afterwards.
#ifndef MILLRACE_EXECUTOR_GRAPH_SCHEMA_FACTS_H_
#define MILLRACE_EXECUTOR_GRAPH_SCHEMA_FACTS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "google/protobuf/descriptor.h"
#include "pipelines/schema/options.pb.h"

namespace millrace {

struct MessageFacts;

struct FieldFacts {
  const google::protobuf::FieldDescriptor* descriptor = nullptr;
  std::string name;
  int number = 0;
  int index = 0;  // in the message's declaration order
  bool repeated = false;
  google::protobuf::FieldDescriptor::CppType type = google::protobuf::FieldDescriptor::CPPTYPE_STRING;
  int oneof = -1;  // index of the oneof it is a member of; -1: none
  absl::optional<Effect> effect;
  std::vector<Artifact> accepts;
  absl::optional<Unit> unit;
  absl::optional<double> at_least;
  absl::optional<double> at_most;
  bool merge_key = false;
  bool must_be_set = false;
  std::string source_of;
  // The field's value is brought to the stage as an input, or as its tool, and is not in its parameters: references
  // to stages, and what names files, bundled data or a program.
  bool is_input = false;
  bool is_name = false;  // of the user's: [a-z][a-z0-9_]*
  // A message without it is not complete: must_be_set, a reference that can change the result, and a few messages.
  bool needed = false;
  bool has_default = false;               // the schema gives one
  std::string default_text;               // of a string, as a plain number where it has a unit
  const MessageFacts* message = nullptr;  // of a message field

  bool is_message() const { return message != nullptr; }
};

struct MessageFacts {
  const google::protobuf::Descriptor* descriptor = nullptr;
  std::string name;                // "Train", "Dedup.MinHash"
  std::vector<FieldFacts> fields;  // declaration order; fields[i].index == i
  std::vector<int> by_number;      // indices in `fields`, by field number
  const FieldFacts* merge_key = nullptr;
  std::vector<std::pair<std::string, Artifact>> produces;
  // Some field within it, at any depth, can change a result; or it has no fields, so that its presence does.
  bool can_change_result = false;
  bool holds_references = false;  // some field within it, at any depth, names a stage
  bool holds_units = false;       // some field within it, at any depth, has a unit
  // The bounds of messages that have both; else nullptr.
  const FieldFacts* min = nullptr;
  const FieldFacts* max = nullptr;
  bool oneofs_are_needed = true;  // each of its oneofs must have a member set

  const FieldFacts* Find(absl::string_view field_name) const;  // nullptr: no such field
  const FieldFacts& Get(absl::string_view field_name) const;   // the field is there

 private:
  friend class SchemaFactsBuilder;
  std::vector<std::pair<absl::string_view, int>> by_name_;  // sorted
};

// Facts of a message of the pipeline or cluster vocabulary.
const MessageFacts& FactsOf(const google::protobuf::Descriptor* descriptor);

// "documents", "a tokenizer": an artifact as the object of "takes" and "makes".
absl::string_view ArtifactPhrase(Artifact artifact);
// Several, joined by "or".
std::string ArtifactPhrases(const std::vector<Artifact>& artifacts);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_SCHEMA_FACTS_H_
