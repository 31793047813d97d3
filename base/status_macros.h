// RETURN_IF_ERROR and ASSIGN_OR_RETURN, and context for errors on their way up.
#ifndef MILLRACE_BASE_STATUS_MACROS_H_
#define MILLRACE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace millrace {

// `status` with "context: " before its message; the code stays. OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace millrace

#define RETURN_IF_ERROR(expression)                                             \
  do {                                                                          \
    if (absl::Status millrace_status_ = (expression); !millrace_status_.ok()) { \
      return millrace_status_;                                                  \
    }                                                                           \
  } while (false)

#define MILLRACE_CONCAT_INNER_(a, b) a##b
#define MILLRACE_CONCAT_(a, b) MILLRACE_CONCAT_INNER_(a, b)

// ASSIGN_OR_RETURN(auto x, F());
#define ASSIGN_OR_RETURN(left, expression) \
  MILLRACE_ASSIGN_OR_RETURN_(MILLRACE_CONCAT_(millrace_status_or_, __LINE__), left, expression)
#define MILLRACE_ASSIGN_OR_RETURN_(temporary, left, expression) \
  auto temporary = (expression);                                \
  if (!temporary.ok()) return temporary.status();               \
  left = *std::move(temporary)

#endif  // MILLRACE_BASE_STATUS_MACROS_H_
