// Text format to a syntax tree, by a walk that recovers: every unknown or retired field, every value of the wrong
// type, every number out of its type's range and every syntax error is reported at its place, and nothing is skipped
// in silence. (Protobuf's own parser stops at the first error and skips `reserved` names.)
#ifndef MILLRACE_EXECUTOR_GRAPH_PARSE_H_
#define MILLRACE_EXECUTOR_GRAPH_PARSE_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "executor/graph/schema_facts.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

struct ParseResult {
  std::unique_ptr<Node> root;  // what could be read; never null
  // Braces or fields could not be told apart somewhere: what `root` lacks may be in the text.
  bool structure_is_lost = false;
};

// `source` is the text's index in `sources`.
ParseResult ParseText(absl::string_view text, const MessageFacts& type, const Sources& sources, int source,
                      Diagnostics& diagnostics);

// The value of one field as a flag gives it: a string as it stands, without quotes; "[a, b]" for a repeated field;
// "{...}" for a message; else a scalar as in a file. Appends to `out`; false: reported at `place`.
bool ParseFlagValue(absl::string_view text, const FieldFacts& field, const Sources& sources, Place place,
                    Diagnostics& diagnostics, std::vector<Value>& out);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_PARSE_H_
