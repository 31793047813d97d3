// A quantity with a unit as the plain number that keys and programs get.
#ifndef MILLRACE_EXECUTOR_GRAPH_UNIT_H_
#define MILLRACE_EXECUTOR_GRAPH_UNIT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pipelines/schema/options.pb.h"

namespace millrace {

// "2M" is "2000000", "30m" is "1800" (seconds), "10Gbit/s" is "1250000000" (bytes per second). Idempotent.
// InvalidArgument says what is accepted.
absl::StatusOr<std::string> PlainNumber(absl::string_view text, Unit unit);

// How such a value looks in a file: "\"64MiB\"".
absl::string_view ExampleOf(Unit unit);

// The fewest digits, from six, that read back as `value`; a whole number without a point.
std::string ExactText(double value);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_UNIT_H_
