// Stages and the references between them: found, typed, ordered. Between the syntax tree and the resolved pipeline.
#ifndef MILLRACE_EXECUTOR_GRAPH_STAGE_GRAPH_H_
#define MILLRACE_EXECUTOR_GRAPH_STAGE_GRAPH_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

// A string of a stage that names another.
struct Reference {
  std::string path;          // "component.1.from"
  std::vector<int> numbers;  // the same in field numbers: 1, 1, 1
  const Value* value = nullptr;
  int producer = -1;  // index of the stage; -1: there is none, which has been reported
  std::string output;
  Artifact artifact = FILES;
};

// A stage on its way to being resolved. Points into the syntax tree.
struct StageDraft {
  Node* node = nullptr;
  Node* body = nullptr;  // the kind's message; nullptr: no kind, which has been reported
  const FieldFacts* kind = nullptr;
  absl::string_view name;
  std::vector<OutputSpec> outputs;
  std::vector<Reference> references;  // by number path

  const Reference* Find(absl::string_view path) const;  // nullptr: no such reference
};

// One for each stage of the merged pipeline, in file order.
std::vector<StageDraft> DraftStages(const Node& pipeline);

// Finds what each reference names and checks that it is of a type that is accepted there.
void ConnectStages(std::vector<StageDraft>& drafts, const Sources& sources, Diagnostics& diagnostics);

// Indices in an order in which whatever a stage needs comes before it; among equals, file order. Stages on a cycle
// are reported and left out, with what needs them.
std::vector<int> TopologicalOrder(const std::vector<StageDraft>& drafts, const Sources& sources,
                                  Diagnostics& diagnostics);

// "1.1.1"
std::string NumberPath(const std::vector<int>& numbers);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_STAGE_GRAPH_H_
