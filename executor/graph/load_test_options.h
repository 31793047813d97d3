// Options of a golden test's pipeline, from comments at its head:
//
//   # profile: laptop
//   # set: pretrain.max_tokens=50k
//   # only: pretrain
//   # data_root: corpora=files          relative to the folder of the test's data
//   # manifest                           with the tools and data of GoldenManifest()
//   # cluster: lan                       lan.cluster.textproto beside the file
//   # runnable                           CheckRunnable, too
#ifndef MILLRACE_EXECUTOR_GRAPH_LOAD_TEST_OPTIONS_H_
#define MILLRACE_EXECUTOR_GRAPH_LOAD_TEST_OPTIONS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "executor/graph/load.h"

namespace millrace {

struct GoldenOptions {
  LoadOptions load;
  bool runnable = false;
};

// `name` is shown as the file's; `folder` holds the test's data.
GoldenOptions ReadGoldenOptions(absl::string_view text, const std::string& name, const std::string& folder);

// Whether goldens are to be rewritten (`UPDATE_GOLDENS=1 bazel run TEST`), and in which folder of the workspace.
bool UpdateGoldens(std::string& folder);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_LOAD_TEST_OPTIONS_H_
