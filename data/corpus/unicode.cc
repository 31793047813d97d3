// The ranges come from RE2 when this is built (unicode_ranges_main.cc).
#include "data/corpus/unicode.h"

namespace millrace::data {
namespace {

struct ClassRange {
  uint32_t first, last;
  uint8_t bit;
};
constexpr ClassRange kRanges[] = {
#include "data/corpus/unicode_ranges.inc"
};
static_assert(kLetter == 1 && kNumber == 2 && kMark == 4);

struct Range {
  uint32_t first, last;
};

// Unicode 14, PropList.txt.
constexpr Range kWhiteSpaces[] = {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                  {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                  {0x205F, 0x205F}, {0x3000, 0x3000}};

// Blocks of the scripts that kOwnWord names; their letters count.
constexpr Range kWithoutSpaces[] = {{0x0E00, 0x0EFF}, {0x1000, 0x109F}, {0x1780, 0x17FF},  {0x3005, 0x3007},
                                    {0x3041, 0x30FF}, {0x31F0, 0x31FF}, {0x3400, 0x4DBF},  {0x4E00, 0x9FFF},
                                    {0xF900, 0xFAFF}, {0xFF66, 0xFF9F}, {0x20000, 0x323AF}};

uint8_t* MakeClasses() {
  uint8_t* const classes = new uint8_t[kClassifiedCodePoints]();
  for (const ClassRange& range : kRanges) {
    for (uint32_t c = range.first; c <= range.last; ++c) classes[c] |= range.bit;
  }
  for (const Range& range : kWhiteSpaces) {
    for (uint32_t c = range.first; c <= range.last; ++c) classes[c] |= kWhiteSpace;
  }
  for (const Range& range : kWithoutSpaces) {
    for (uint32_t c = range.first; c <= range.last; ++c) {
      if (classes[c] & kLetter) classes[c] |= kOwnWord;
    }
  }
  // Every ideograph, also one that is newer than RE2's tables.
  for (uint32_t c = 0x4E00; c <= 0x9FFF; ++c) classes[c] |= kLetter | kOwnWord;
  return classes;
}

}  // namespace

const uint8_t* CodePointClasses() {
  static const uint8_t* const classes = MakeClasses();
  return classes;
}

bool IsUtf8(absl::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* const at = p;
    if (NextCodePoint(p, end) == 0xFFFD && !(p - at == 3)) return false;  // U+FFFD itself has three bytes
  }
  return true;
}

}  // namespace millrace::data
