// Which programs and bundled data a pipeline target brings: what the Starlark rules write and the executor reads.
//
//   {"tools": {"dedup": {"executable": "millrace/data/dedup/dedup", "files": ["millrace/data/dedup/dedup", ...]}},
//    "data":  {"tiny_en": {"label": "//pipelines/corpora:tiny_en",
//                          "files": [{"path": "docs.jsonl", "runfile":
//                          "millrace/pipelines/corpora/tiny_en/docs.jsonl"}]}}}
//
// A tool is named by the stage kind it serves, or by the label that a custom stage names. Paths are relative to the
// runfiles root (the folder that holds "millrace/"). A tool's files keep their relative places when it is copied, so
// that shared libraries are found beside it.
#ifndef MILLRACE_EXECUTOR_GRAPH_TOOL_MANIFEST_H_
#define MILLRACE_EXECUTOR_GRAPH_TOOL_MANIFEST_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct ToolFile {
  std::string logical_path;   // relative to the runfiles root: in the tool's identity
  std::string absolute_path;  // where it lies on this machine
};

struct Tool {
  std::string executable;       // one of the logical paths
  std::vector<ToolFile> files;  // by logical path, in byte order
};

struct BundledData {
  std::string label;
  std::vector<ToolFile> files;  // logical_path: what the stage sees below in/files/
  std::string lock;             // absolute path of its lock file, or ""
};

struct ToolManifest {
  std::map<std::string, Tool> tools;
  std::map<std::string, BundledData> data;

  // InvalidArgument names the path and what is wrong. `runfiles_root` is absolute.
  static absl::StatusOr<ToolManifest> Parse(absl::string_view json, absl::string_view runfiles_root);
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_TOOL_MANIFEST_H_
