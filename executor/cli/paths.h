// Where things are: the workspace, the user's working directory, home, output, manifest.
//
// Under `bazel run` the working directory is a runfiles folder: what users mean by a relative path is below
// BUILD_WORKING_DIRECTORY, and the source tree is BUILD_WORKSPACE_DIRECTORY.
#ifndef MILLRACE_EXECUTOR_CLI_PATHS_H_
#define MILLRACE_EXECUTOR_CLI_PATHS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cli/arguments.h"

namespace millrace {

struct Paths {
  std::string working_directory;  // the user's
  std::string workspace;          // absolute; where paths of a pipeline without a root begin
  std::string file;               // absolute path of the pipeline file; "" : none was named
  std::string file_shown;         // relative to the workspace where it is below it, else as named
  std::string home;
  std::string out;
  std::string manifest;  // "" : there is none
  std::string runfiles;

  // An absolute path as the user named it.
  std::string Resolve(absl::string_view path) const;
  // Relative to the user's working directory where that is shorter to read: below it.
  std::string Shown(absl::string_view absolute_path) const;
};

// Looks a variable of the environment up; null: not set.
using Variables = std::function<const char*(const char*)>;

// Whether a word can be the FILE of the command line: a path that exists, one that ends as a pipeline file does, or the
// name of one in <workspace>/pipelines.
bool LooksLikeFile(const std::string& word, const Variables& env);

// `file`: the operand FILE or --pipeline; "" : none. `program`: argv[0].
//   NotFound: no such file, with the closest name; FailedPrecondition: neither HOME nor XDG_CACHE_HOME is set.
absl::StatusOr<Paths> FindPaths(const Arguments& arguments, const std::string& file, const std::string& program,
                                const Variables& env);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_PATHS_H_
