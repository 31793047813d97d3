// From the syntax tree to the message that a stage program gets.
#ifndef MILLRACE_EXECUTOR_GRAPH_PARAMETERS_H_
#define MILLRACE_EXECUTOR_GRAPH_PARAMETERS_H_

#include <memory>

#include "executor/graph/syntax_tree.h"
#include "google/protobuf/message.h"

namespace millrace {

// Replaces the preset of each train stage's model by the fields it stands for, at the preset's place.
void ExpandPresets(Node& pipeline);

// The kind's message without what is brought as an input, and without fields that are at their default. Units are
// plain numbers and source names ordinals already.
std::shared_ptr<const google::protobuf::Message> ToParameters(const Node& body);

// Whether the scalar is what the schema gives by default.
bool IsDefault(const Value& value);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_PARAMETERS_H_
