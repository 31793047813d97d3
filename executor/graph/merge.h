// How a profile is laid over a pipeline: by our own rule, never MergeFrom.
//
//   scalars           replace
//   messages          merge, field by field
//   repeated messages with a merge key   merge: entries with one key are one thing; new ones come at the
//                     end; entries without the key are paired in order
//   other repeated fields                replace
//   a oneof           setting one member clears the others; so another kind of a stage replaces it
//   `extends`         comes first, in order; then `remove`; then the profile's own entries
// Every value keeps the place it was written at.
#ifndef MILLRACE_EXECUTOR_GRAPH_MERGE_H_
#define MILLRACE_EXECUTOR_GRAPH_MERGE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

void MergeInto(Node& base, const Node& overlay);

// Takes away the other members of the oneof that `field` is a member of.
void ClearOneofMates(Node& node, const FieldFacts& field);

// What a profile says beside what it changes.
struct ProfileSettings {
  std::vector<Value> targets;       // Profile.target
  std::vector<Value> expectations;  // Profile.expect
};

// Applies the profile named `name` of `pipeline` to it, with those that it extends. False: errors were reported; what
// could be applied has been. `asked_at` is where the name comes from.
bool ApplyProfile(Node& pipeline, absl::string_view name, const Location& asked_at, const Sources& sources,
                  Diagnostics& diagnostics, ProfileSettings& settings);

// Applies "PATH=VALUE" of --set. `place` is its own, without a line.
bool ApplySet(Node& pipeline, absl::string_view assignment, const Sources& sources, Place place,
              Diagnostics& diagnostics);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_MERGE_H_
