// From the text of a pipeline file to a ResolvedPipeline, or all of its errors at once.
#ifndef MILLRACE_EXECUTOR_GRAPH_LOAD_H_
#define MILLRACE_EXECUTOR_GRAPH_LOAD_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "base/diagnostic.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/tool_manifest.h"
#include "pipelines/schema/cluster.pb.h"

namespace millrace {

struct LoadOptions {
  std::string file;               // as the user named it; messages show this
  std::string profile;            // "" : the file's default_profile
  std::vector<std::string> set;   // "pretrain.train.max_tokens=50k"
  std::vector<std::string> only;  // --only: these stages and what they need; empty: the profile's targets
  std::string workspace;          // folder that paths without a root are relative to
  std::map<std::string, std::string> data_root;  // --data-root; wins over the cluster's
  absl::optional<Cluster> cluster;               // validated (LoadCluster)
  bool check_fit = true;                         // false: that its memory is too small is alone no error
  const ToolManifest* manifest = nullptr;        // absent: names of tools and bundled data are not checked
};

// Parses, merges the profile, applies `set`, expands, checks. InvalidArgument: `diagnostics` has every independent
// error, sorted; nothing else is done. `diagnostics` also has the warnings of a good file.
absl::StatusOr<ResolvedPipeline> LoadPipeline(absl::string_view text, const LoadOptions& options,
                                              Diagnostics& diagnostics);

// Whether this version can run the pipeline here: ZeRO 1-3, pipeline parallelism and precisions other than FP32 are
// planned but not run, and files that nobody has named cannot be read. Errors go to `diagnostics` (exit status 2).
void CheckRunnable(const ResolvedPipeline& pipeline, Diagnostics& diagnostics);

// Names of the file's profiles in file order, for `check` of all of them. A file that does not parse has none.
std::vector<std::string> ProfileNames(absl::string_view text);

// "FILE" or "FILE:NAME" has been split by the caller. An empty `name` takes the only one.
absl::StatusOr<Cluster> LoadCluster(absl::string_view text, const std::string& file, absl::string_view name,
                                    Diagnostics& diagnostics);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_LOAD_H_
