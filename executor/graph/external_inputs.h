// Inputs that come from outside the pipeline: files below a named root or in the workspace, data that a pipeline
// target brings.
#ifndef MILLRACE_EXECUTOR_GRAPH_EXTERNAL_INPUTS_H_
#define MILLRACE_EXECUTOR_GRAPH_EXTERNAL_INPUTS_H_

#include <map>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "executor/graph/load.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/stage_graph.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

// Finds files; the same options for all stages of a pipeline.
class ExternalInputFinder {
 public:
  ExternalInputFinder(const LoadOptions& options, const Sources& sources, Diagnostics& diagnostics);

  // The external inputs of a stage, by name. Where a root is known, files that are not there are an error; where it
  // is not, the input says why it is unresolved.
  std::vector<ExternalInput> Find(const StageDraft& draft);

 private:
  ExternalInput FromFiles(const StageDraft& draft, const Value& value);
  ExternalInput FromBundled(const StageDraft& draft, const Value& value);
  ExternalInput FromPath(const StageDraft& draft, const std::string& name, int index, const Value& value);
  // Adds what `pattern` matches, its path relative to `relative_to` within the root.
  void AddMatches(const StageDraft& draft, const Value& glob, std::vector<std::string> excludes, ExternalInput& input);
  // The folder of a root ("": the workspace). Empty, with `unresolved` set: not named.
  std::string FolderOf(const std::string& root, std::string& unresolved) const;
  std::string InWorkspace(absl::string_view path) const;

  const LoadOptions& options_;
  const Sources& sources_;
  Diagnostics& diagnostics_;
  std::map<std::string, std::string> roots_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_EXTERNAL_INPUTS_H_
