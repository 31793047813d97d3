#include "base/quantity.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

using Units = std::vector<std::pair<absl::string_view, double>>;

const Units& TokenUnits() {
  static const Units& units =
      *new Units{{"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1e9}, {"T", 1e12}};
  return units;
}

const Units& ByteUnits() {
  static const Units& units = *new Units{{"", 1},
                                         {"B", 1},
                                         {"kB", 1e3},
                                         {"KB", 1e3},
                                         {"MB", 1e6},
                                         {"GB", 1e9},
                                         {"TB", 1e12},
                                         {"KiB", 1024.0},
                                         {"MiB", 1048576.0},
                                         {"GiB", 1073741824.0},
                                         {"TiB", 1099511627776.0}};
  return units;
}

absl::Status Bad(absl::string_view text, absl::string_view what, absl::string_view accepted) {
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not ", what, "; accepted: ", accepted));
}

// Splits "12.5MiB" into its number and its unit. False: no number.
bool SplitNumber(absl::string_view text, double& number, absl::string_view& unit) {
  size_t end = 0;
  while (end < text.size() && (absl::ascii_isdigit(text[end]) || text[end] == '.')) ++end;
  if (end == 0 || !absl::SimpleAtod(text.substr(0, end), &number)) return false;
  unit = absl::StripAsciiWhitespace(text.substr(end));
  return true;
}

bool Lookup(const Units& units, absl::string_view unit, double& factor) {
  for (const auto& [name, value] : units) {
    if (name == unit) {
      factor = value;
      return true;
    }
  }
  return false;
}

absl::StatusOr<int64_t> ParseWhole(absl::string_view text, const Units& units, absl::string_view what,
                                   absl::string_view accepted) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  int64_t plain;
  if (absl::SimpleAtoi(trimmed, &plain) && plain >= 0 && trimmed.front() != '+' && trimmed.front() != '-') return plain;
  double number, factor;
  absl::string_view unit;
  if (!SplitNumber(trimmed, number, unit) || !Lookup(units, unit, factor)) return Bad(text, what, accepted);
  const double value = number * factor;
  const double rounded = std::round(value);
  if (std::abs(value - rounded) > 1e-6 * std::max(1.0, value))
    return Bad(text, absl::StrCat("a whole number of ", what), accepted);
  if (rounded >= 9.2e18) return Bad(text, absl::StrCat(what, " that fits 63 bits"), accepted);
  return static_cast<int64_t>(rounded);
}

}  // namespace

absl::StatusOr<int64_t> ParseTokens(absl::string_view text) {
  return ParseWhole(text, TokenUnits(), "a count", "\"50k\", \"2.4M\", \"2T\" (k, M, G or B, T; decimal)");
}

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  return ParseWhole(text, ByteUnits(), "a size", "\"64MiB\", \"10MB\", \"200\" (kB, MB, GB, TB; KiB, MiB, GiB, TiB)");
}

absl::StatusOr<double> ParseDurationSeconds(absl::string_view text) {
  static const Units& units =
      *new Units{{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}};
  constexpr absl::string_view kAccepted = "\"30m\", \"1h30m\", \"90d\" (ms, s, m, h, d, w)";
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  if (rest.empty()) return Bad(text, "a duration", kAccepted);
  double seconds = 0;
  while (!rest.empty()) {
    size_t end = 0;
    while (end < rest.size() && (absl::ascii_isdigit(rest[end]) || rest[end] == '.')) ++end;
    size_t unit_end = end;
    while (unit_end < rest.size() && absl::ascii_isalpha(rest[unit_end])) ++unit_end;
    double number, factor;
    if (end == 0 || !absl::SimpleAtod(rest.substr(0, end), &number) ||
        !Lookup(units, rest.substr(end, unit_end - end), factor)) {
      return Bad(text, "a duration", kAccepted);
    }
    seconds += number * factor;
    rest = absl::StripLeadingAsciiWhitespace(rest.substr(unit_end));
  }
  return seconds;
}

absl::StatusOr<double> ParseBandwidth(absl::string_view text) {
  static const Units& units = *new Units{{"", 1},
                                         {"B/s", 1},
                                         {"kB/s", 1e3},
                                         {"MB/s", 1e6},
                                         {"GB/s", 1e9},
                                         {"KiB/s", 1024.0},
                                         {"MiB/s", 1048576.0},
                                         {"GiB/s", 1073741824.0},
                                         {"kbit/s", 1e3 / 8},
                                         {"Mbit/s", 1e6 / 8},
                                         {"Gbit/s", 1e9 / 8},
                                         {"Tbit/s", 1e12 / 8}};
  double number, factor;
  absl::string_view unit;
  if (!SplitNumber(absl::StripAsciiWhitespace(text), number, unit) || !Lookup(units, unit, factor)) {
    return Bad(text, "a bandwidth", "\"10Gbit/s\", \"200GB/s\" (bit/s and B/s with k, M, G, T)");
  }
  return number * factor;
}

namespace {

std::string ThreeFigures(double value) {
  const double magnitude = std::abs(value);
  if (magnitude >= 99.95 || value == std::round(value)) return absl::StrFormat("%.0f", value);
  if (magnitude >= 9.995) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.2f", value);
}

}  // namespace

std::string FormatBytes(double size_bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int unit = 0;
  while (std::abs(size_bytes) >= 1023.5 && unit < 5) {
    size_bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(ThreeFigures(size_bytes), " ", kUnits[unit]);
}

std::string FormatCount(double count) {
  static constexpr const char* kUnits[] = {"", " k", " M", " B", " T"};
  int unit = 0;
  while (std::abs(count) >= 999.5 && unit < 4) {
    count /= 1000;
    ++unit;
  }
  return absl::StrCat(ThreeFigures(count), kUnits[unit]);
}

std::string FormatSeconds(double seconds) {
  if (seconds < 0.1) return absl::StrFormat("%.0f ms", seconds * 1e3);
  if (seconds < 59.95) return absl::StrFormat("%.1f s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  if (whole < 2 * 86400) return absl::StrFormat("%d h %02d min", whole / 3600, whole / 60 % 60);
  if (seconds < 2 * 365.25 * 86400) return absl::StrFormat("%.1f days", seconds / 86400);
  return absl::StrFormat("%.1f years", seconds / (365.25 * 86400));
}

std::string FormatGrouped(int64_t value) {
  std::string digits = absl::StrCat(value < 0 ? -value : value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, " ");
  return value < 0 ? "-" + digits : digits;
}

}  // namespace millrace
