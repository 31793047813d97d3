#include "data/tokenizer/utf8.h"

#include <simdjson.h>

namespace millrace::data {
namespace {

// Bytes of the well-formed character at `p`, or minus the bytes of the maximal ill-formed subpart there
// (Unicode 16.0, section 3.9, table 3-7).
int LengthAt(const char* p, const char* end) {
  const auto byte = [p](int i) { return static_cast<uint8_t>(p[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return -1;
  const int length = Utf8Length(first);
  const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (end - p < 2 || byte(1) < low || byte(1) > high) return -1;
  for (int i = 2; i < length; ++i) {
    if (end - p <= i || byte(i) < 0x80 || byte(i) > 0xBF) return -i;
  }
  return length;
}

}  // namespace

bool IsValidUtf8(absl::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string ReplaceInvalidUtf8(absl::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const int length = LengthAt(p, end);
    if (length > 0) {
      out.append(p, length);
      p += length;
    } else {
      out.append("\xEF\xBF\xBD");
      p -= length;
    }
  }
  return out;
}

}  // namespace millrace::data
