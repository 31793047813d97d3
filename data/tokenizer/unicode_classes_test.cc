#include "data/tokenizer/unicode_classes.h"

#include <gtest/gtest.h>

namespace millrace::data {
namespace {

using namespace unicode_class;

TEST(UnicodeClassesTest, KnownCharacters) {
  const struct {
    uint32_t code_point;
    uint8_t bits;
  } cases[] = {
      {'a', kLetter},
      {'0', kNumber | kDecimalDigit | kNumericInRust},
      {' ', kSpace},
      {'\n', kSpace},
      {0x1C, 0},  // a separator for Python's str.isspace, not for \s
      {0x85, kSpace},
      {'!', kPunctuation},
      {'$', kSymbol},
      {0x301, kMark},
      {0xBD, kNumber | kNumericInRust},  // one half
      {0x3000, kSpace},
      {0x4E2D, kLetter},
      {0x180E, 0},                // Mongolian vowel separator: no longer a space
      {0x1C89, kLetter},          // new in Unicode 16
      {0x11DE0, kNumericInRust},  // new in Unicode 17: Rust has it, Oniguruma does not
      {0xD800, 0},
      {0x10FFFF, 0},
  };
  for (const auto& c : cases) EXPECT_EQ(UnicodeClass(c.code_point), c.bits) << std::hex << c.code_point;
}

TEST(UnicodeClassesTest, RangesAgreeWithTheTable) {
  for (const uint8_t bits : {kLetter, kMark, kNumber, kPunctuation, kSymbol, kSpace}) {
    const std::vector<CodePointRange> ranges = RangesOfClass(bits);
    CodePointTable table;
    table.Add(ranges, 1);
    for (uint32_t c = 0; c < kCodePoints; ++c) ASSERT_EQ(table[c] != 0, (UnicodeClass(c) & bits) != 0) << c;
    for (size_t i = 1; i < ranges.size(); ++i) ASSERT_GT(ranges[i].first, ranges[i - 1].last + 1);
  }
}

TEST(UnicodeClassesTest, TransformSeesEachCodePoint) {
  CodePointTable table;
  table.Transform([](uint32_t c, uint8_t) { return static_cast<uint8_t>(c % 251); });
  for (uint32_t c = 0; c < kCodePoints; ++c) ASSERT_EQ(table[c], c % 251);
}

}  // namespace
}  // namespace millrace::data
