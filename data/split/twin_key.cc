#include "data/split/twin_key.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace millrace::data {

absl::string_view TwinKey(absl::string_view id) {
  absl::string_view stem = id;
  if (!absl::ConsumeSuffix(&stem, ".gz")) absl::ConsumeSuffix(&stem, ".zst");
  const size_t dot = stem.rfind('.');
  if (dot == absl::string_view::npos) return id;
  const absl::string_view extension = stem.substr(dot + 1);
  const bool is_extension = extension.size() <= 8 &&
                            std::all_of(extension.begin(), extension.end(), absl::ascii_isalnum) &&
                            std::any_of(extension.begin(), extension.end(), absl::ascii_isalpha);
  if (!is_extension || dot == 0 || stem[dot - 1] == '/') return id;
  return stem.substr(0, dot);
}

}  // namespace millrace::data
