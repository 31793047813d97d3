// Numbers with a unit, as people write them in a pipeline file, and back.
#ifndef MILLRACE_BASE_QUANTITY_H_
#define MILLRACE_BASE_QUANTITY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// Each returns InvalidArgument with what is accepted. A plain number is accepted everywhere and is in the base unit.

// Decimal: "2.4M" is 2 400 000. Suffixes k, M, G (or B), T. A whole number must come out.
absl::StatusOr<int64_t> ParseTokens(absl::string_view text);
// kB, MB, GB, TB are decimal; KiB, MiB, GiB, TiB binary; B.
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);
// Seconds. ms, s, m, h, d, w; "1h30m".
absl::StatusOr<double> ParseDurationSeconds(absl::string_view text);
// Bytes per second. "10Gbit/s", "200GB/s", "25GiB/s".
absl::StatusOr<double> ParseBandwidth(absl::string_view text);

// "16.2 MiB", "2.4 M", "1 h 02 min", for people; three significant figures.
std::string FormatBytes(double size_bytes);
std::string FormatCount(double count);
std::string FormatSeconds(double seconds);
// 3117 -> "3 117" with a narrow separator of one space.
std::string FormatGrouped(int64_t value);

}  // namespace millrace

#endif  // MILLRACE_BASE_QUANTITY_H_
