// A folder as a blob: which files it holds, under which paths. An artifact's digest is that of its tree.
//
// The canonical text, whose SHA-256 is the digest:
//   millrace.tree.v1\n
//   <64 hex digits> <size in bytes> <f|x> <path>\n      a file; x: executable
//   - 0 d <path>\n                                      a folder with nothing in it
// Lines are in byte order of the path; in a path "\" is "\\" and a newline "\n". Times, owners, modes and symbolic
// links are no part of it: a link stands for what it points to.
#ifndef MILLRACE_EXECUTOR_CAS_TREE_H_
#define MILLRACE_EXECUTOR_CAS_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cas/digest.h"

namespace millrace {

struct TreeFile {
  std::string path;  // relative
  Digest digest;
  int64_t size_bytes = 0;
  bool executable = false;
};

struct Tree {
  std::vector<TreeFile> files;             // by path, in byte order
  std::vector<std::string> empty_folders;  // likewise

  int64_t size_bytes() const;
  std::string Canonical() const;
  // InvalidArgument: not the canonical text of a tree.
  static absl::StatusOr<Tree> Parse(absl::string_view canonical);
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_TREE_H_
