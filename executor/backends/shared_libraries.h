// Which shared libraries a program needs beside those that come with glibc: a node may not have them.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SHARED_LIBRARIES_H_
#define MILLRACE_EXECUTOR_BACKENDS_SHARED_LIBRARIES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct SharedLibrary {
  std::string name;  // as programs ask for it: "libre2.so.9"
  std::string path;
};

// As the loader finds them for this program on this machine, without those below `folder`, which travel with it, and
// those of glibc. Empty for what is not a dynamically linked program, a script for one. Some milliseconds.
// FailedPrecondition: one is missing here.
absl::StatusOr<std::vector<SharedLibrary>> SharedLibrariesOf(const std::string& program, const std::string& folder);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SHARED_LIBRARIES_H_
