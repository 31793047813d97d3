// What a text says, and where it says it: the form in which profiles are merged. A message of the schema becomes a
// Node, each of its fields' values a Value with its place; merging moves values, so that each remembers its place.
#ifndef MILLRACE_EXECUTOR_GRAPH_SYNTAX_TREE_H_
#define MILLRACE_EXECUTOR_GRAPH_SYNTAX_TREE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "executor/graph/schema_facts.h"
#include "google/protobuf/message.h"

namespace millrace {

// `source` is an index in Sources; line and column count from 1, 0 is unknown.
struct Place {
  int32_t source = 0;
  int32_t line = 0;
  int32_t column = 0;
};

// Names of texts: the pipeline file, "--set a.b=c". Not thread-safe.
class Sources {
 public:
  int Add(std::string name) {
    names_.push_back(std::move(name));
    return static_cast<int>(names_.size()) - 1;
  }
  Location At(Place place) const { return {names_[place.source], place.line, place.column}; }

 private:
  std::vector<std::string> names_;
};

struct Node;

// One value; a repeated field has several with the same `field`.
struct Value {
  const FieldFacts* field = nullptr;
  Place place;  // of the field's name
  union {
    int64_t integer = 0;  // int32, int64, an enum's number, bool
    uint64_t natural;     // uint32, uint64
    double real;
  };
  std::string text;  // string
  std::unique_ptr<Node> message;

  Value() = default;
  Value(const FieldFacts* f, Place p) : field(f), place(p) {}
  Value Clone() const;
};

struct Node {
  const MessageFacts* type = nullptr;
  Place place;                // of the name of the field that holds it
  std::vector<Value> values;  // values of one repeated field in their order
  // An error has been reported for a field of this message: what seems to be missing may be what is wrong.
  bool damaged = false;

  explicit Node(const MessageFacts* t, Place p = {}) : type(t), place(p) { values.reserve(4); }
  std::unique_ptr<Node> Clone() const;

  // The last value of the field; nullptr: not set.
  const Value* Find(const FieldFacts& field) const;
  Value* Find(const FieldFacts& field);
  const Value* Find(absl::string_view field_name) const { return Find(type->Get(field_name)); }
  // The message of a singular message field; nullptr: not set.
  const Node* Child(absl::string_view field_name) const;
  // "" if not set.
  absl::string_view Text(absl::string_view field_name) const;
  // All values of a repeated field.
  std::vector<const Value*> All(absl::string_view field_name) const;
  void Clear(const FieldFacts& field);
  // The member of the oneof that is set; nullptr: none.
  const Value* OneofMember(int oneof) const;
};

// Place of a field below `node` by path, "optimizer.adamw.learning_rate" or "component.1.weight"; of the deepest
// message on the way if the field itself is not set.
Place PlaceOf(const Node& node, absl::string_view path);

// Fills `message`, of the node's type. Values are taken as they are; those for which `leave_out` is true are left out.
void ToMessage(const Node& node, google::protobuf::Message& message, bool (*leave_out)(const Value&) = nullptr);

// A scalar as text format writes it: strings quoted, enums by name.
std::string ScalarText(const Value& value);

// The node as text format in schema order, two spaces a level; messages of scalars that fit 100 columns on one line.
std::string ToText(const Node& node);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_SYNTAX_TREE_H_
