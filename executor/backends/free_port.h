// A TCP port for a gang to meet at.
#ifndef MILLRACE_EXECUTOR_BACKENDS_FREE_PORT_H_
#define MILLRACE_EXECUTOR_BACKENDS_FREE_PORT_H_

#include "absl/status/statusor.h"

namespace millrace {

// One that was free a moment ago: on the loopback interface, or on all of them.
absl::StatusOr<int> FreePort(bool all_interfaces);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_FREE_PORT_H_
