// From the syntax tree to the message that a stage program gets.
#ifndef MILLRACE_EXECUTOR_GRAPH_PARAMETERS_H_
#define MILLRACE_EXECUTOR_GRAPH_PARAMETERS_H_

#include <map>
#include <memory>
#include <string>

#include "base/diagnostic.h"
#include "executor/graph/syntax_tree.h"
#include "google/protobuf/message.h"

namespace millrace {

// Replaces the preset of each train stage's model by the fields it stands for, at the preset's place.
void ExpandPresets(Node& pipeline);

// The kind's message without what is brought as an input, and without fields that are at their default. Units are
// plain numbers and source names ordinals already.
std::shared_ptr<const google::protobuf::Message> ToParameters(const Node& body);

// Where each field that is set was written, by path: "optimizer.adamw.learning_rate", "component.0.weight".
std::map<std::string, Location> OriginOf(const Node& body, const Sources& sources);

// Whether the scalar is what the schema gives by default.
bool IsDefault(const Value& value);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_PARAMETERS_H_
