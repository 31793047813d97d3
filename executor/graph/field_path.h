// Paths to fields as people write them: "pretrain.train.optimizer.adamw.learning_rate", or with names left out as
// long as one field is meant: "pretrain.learning_rate", "learning_rate". Used by --set and by a profile's `remove`.
//
// A path is the stage's name, then field names from the outside in. An entry of a list is named by its merge key
// ("good.rule.size.bytes.min"), or by its index where the list has no key ("pretrain.milestone.0.factor"). Of several
// fields that a path could mean, the one that is written out in full (but for the stage's kind) is meant; else those
// within what is set already (`schedule.cosine` and not `schedule.wsd`).
#ifndef MILLRACE_EXECUTOR_GRAPH_FIELD_PATH_H_
#define MILLRACE_EXECUTOR_GRAPH_FIELD_PATH_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

struct FieldPath {
  struct Step {
    const FieldFacts* field = nullptr;
    int entry = -1;  // of a list of messages: which of its entries; -1: the whole list
  };
  std::vector<Step> steps;
  std::string text;  // "pretrain.optimizer.adamw.learning_rate"
};

// The field that `path` means in a merged pipeline. False: reported at `location`, with what was probably meant.
bool ResolveFieldPath(const Node& pipeline, absl::string_view path, const Location& location, Diagnostics& diagnostics,
                      FieldPath& out);

// Takes the field, list or list entry away; nothing if it is not set.
void RemoveAt(Node& pipeline, const FieldPath& path);

// Sets it: scalars and lists of scalars are replaced, messages merged; other members of oneofs on the way are cleared.
void SetAt(Node& pipeline, const FieldPath& path, std::vector<Value> values);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_FIELD_PATH_H_
