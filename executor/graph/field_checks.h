// Checks that need no more than the schema's options and one message at a time.
#ifndef MILLRACE_EXECUTOR_GRAPH_FIELD_CHECKS_H_
#define MILLRACE_EXECUTOR_GRAPH_FIELD_CHECKS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

// Values as they stand, in a whole file, whatever profile is chosen: bounds, units, names, regular expressions,
// min <= max, distinct merge keys.
void CheckValues(const Node& node, const Sources& sources, Diagnostics& diagnostics);
// The same for one value.
void CheckValue(const Value& value, const Sources& sources, Diagnostics& diagnostics);

// What a message must hold once profiles are merged: fields that must be set, members of oneofs. Marks
// nodes in which something is missing as damaged. `held_as` is what the node is called: the name of its field.
void CheckStructure(Node& node, absl::string_view held_as, const Sources& sources, Diagnostics& diagnostics);

// Replaces every string with a unit by a plain number, so that "2M" and "2000k" are one value. Values that cannot be
// read stay (CheckValues has reported them).
void NormalizeUnits(Node& node);

// [a-z][a-z0-9_]*
bool IsName(absl::string_view text);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_FIELD_CHECKS_H_
