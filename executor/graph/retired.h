// Names that a pipeline file may not use although they look right: fields that are gone, words kept for later
// (executor/graph/retired.textproto).
#ifndef MILLRACE_EXECUTOR_GRAPH_RETIRED_H_
#define MILLRACE_EXECUTOR_GRAPH_RETIRED_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace millrace {

struct RetiredField {
  std::string since;   // version that took it away; "": it is a word kept for later
  std::string remedy;  // what to write instead
};

// `message` is the message's name without its package ("Train", "Optimizer.AdamW").
absl::optional<RetiredField> FindRetired(absl::string_view message, absl::string_view field);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_RETIRED_H_
