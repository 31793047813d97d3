// Writing a file in a working folder that stages have used before.
#ifndef MILLRACE_EXECUTOR_BACKENDS_OVERWRITE_H_
#define MILLRACE_EXECUTOR_BACKENDS_OVERWRITE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

// Makes `path` a file with this content: in the file that is there if it is an ordinary one with one name, else, be it
// a link that a stage has left, in a new one in its place.
absl::Status OverwriteFile(const std::string& path, absl::string_view content);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_OVERWRITE_H_
