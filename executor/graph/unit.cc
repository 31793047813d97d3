#include "executor/graph/unit.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "base/status_macros.h"

namespace millrace {

std::string ExactText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (value == std::floor(value) && std::abs(value) < 1e15 && !(value == 0 && std::signbit(value)))
    return absl::StrCat(static_cast<int64_t>(value));
  char text[40];
  for (int digits = 6; digits <= 17; ++digits) {
    std::snprintf(text, sizeof(text), "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

absl::StatusOr<std::string> PlainNumber(absl::string_view text, Unit unit) {
  switch (unit) {
    case TOKENS_COUNT: {
      ASSIGN_OR_RETURN(const int64_t tokens, ParseTokens(text));
      return absl::StrCat(tokens);
    }
    case BYTES_SIZE: {
      ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(text));
      return absl::StrCat(bytes);
    }
    case DURATION: {
      ASSIGN_OR_RETURN(const double seconds, ParseDurationSeconds(text));
      return ExactText(seconds);
    }
    case BANDWIDTH: {
      ASSIGN_OR_RETURN(const double bandwidth, ParseBandwidth(text));
      return ExactText(bandwidth);
    }
    case FRACTION:
      break;
  }
  return std::string(text);
}

absl::string_view ExampleOf(Unit unit) {
  switch (unit) {
    case TOKENS_COUNT:
      return "\"2.4M\"";
    case BYTES_SIZE:
      return "\"64MiB\"";
    case DURATION:
      return "\"30m\"";
    case BANDWIDTH:
      return "\"10Gbit/s\"";
    case FRACTION:
      break;
  }
  return "0.5";
}

}  // namespace millrace
