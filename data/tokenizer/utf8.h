// UTF-8: checking it, mending it, stepping through it. (Writing it: base/utf8.h.)
#ifndef MILLRACE_DATA_TOKENIZER_UTF8_H_
#define MILLRACE_DATA_TOKENIZER_UTF8_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace millrace::data {

// No surrogates, no overlong forms, nothing above U+10FFFF. Some 10 GB/s.
bool IsValidUtf8(absl::string_view text);

// `text` with each maximal ill-formed subpart replaced by U+FFFD, as the Encoding Standard (whatwg.org) and Python's
// decode("utf-8", "replace") do.
std::string ReplaceInvalidUtf8(absl::string_view text);

// Bytes of the character that begins with `first`, in valid UTF-8.
inline int Utf8Length(uint8_t first) { return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4; }

// The character at `p`, in valid UTF-8; `length` becomes its bytes.
inline uint32_t DecodeUtf8(const char* p, int& length) {
  const auto byte = [p](int i) -> uint32_t { return static_cast<uint8_t>(p[i]); };
  const uint32_t first = byte(0);
  if (first < 0x80) {
    length = 1;
    return first;
  }
  if (first < 0xE0) {
    length = 2;
    return (first & 0x1F) << 6 | (byte(1) & 0x3F);
  }
  if (first < 0xF0) {
    length = 3;
    return (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  }
  length = 4;
  return (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_UTF8_H_
