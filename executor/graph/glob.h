// Files below a folder by pattern: `*` and `?` stay within a folder, `**` (alone between slashes) crosses folders.
#ifndef MILLRACE_EXECUTOR_GRAPH_GLOB_H_
#define MILLRACE_EXECUTOR_GRAPH_GLOB_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// "corpora://wiki/*.jsonl" is root "corpora" and path "wiki/*.jsonl"; without "://" the root is "".
struct RootedPath {
  std::string root;
  std::string path;
};
RootedPath SplitRoot(absl::string_view text);

// Whether the whole path matches. Time O(pattern x path).
bool MatchesGlob(absl::string_view pattern, absl::string_view path);

// Regular files (symbolic links followed) below `folder` whose relative path matches `pattern`, in byte order. Reads
// only folders that can hold a match. InvalidArgument: an absolute pattern, or one with "..". Other errors: a folder
// that cannot be read.
absl::StatusOr<std::vector<std::string>> ExpandGlob(const std::string& folder, absl::string_view pattern);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_GLOB_H_
