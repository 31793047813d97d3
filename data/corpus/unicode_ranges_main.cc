// Prints, as C++ initializers, the ranges of code points of planes 0 to 3 that RE2 counts as letters (1), numbers (2)
// and marks (4): {first, last, class}. Run by the build, in the language that Bazel gives its own tools (C++11); a
// program that asked RE2 at its start would take 0.1 s for it.
#include <re2/re2.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/utf8.h"

namespace millrace {
namespace data {
namespace {

int Main() {
  constexpr uint32_t kEnd = 0x34000;
  const struct {
    const char* name;
    int bit;
  } kGroups[] = {{"\\pL", 1}, {"\\pN", 2}, {"\\pM", 4}};
  for (const auto& group : kGroups) {
    const re2::RE2 pattern(group.name);
    uint32_t first = kEnd;  // of the range that is open
    for (uint32_t c = 0; c <= kEnd; ++c) {
      std::string text;
      const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
      if (c < kEnd && !surrogate) AppendUtf8(c, text);
      const bool matches = !text.empty() && re2::RE2::FullMatch(text, pattern);
      if (matches && first == kEnd) first = c;
      if (!matches && first != kEnd) {
        std::printf("{0x%X, 0x%X, %d},\n", first, c - 1, group.bit);
        first = kEnd;
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace data
}  // namespace millrace

int main() { return millrace::data::Main(); }
