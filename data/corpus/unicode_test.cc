#include "data/corpus/unicode.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

#include <chrono>
#include <string>
#include <vector>

namespace millrace::data {
namespace {

std::vector<std::string> WordsOf(absl::string_view text) {
  std::vector<std::string> words;
  ForEachWord(text, [&](absl::string_view word) { words.emplace_back(word); });
  return words;
}

TEST(UnicodeTest, Words) {
  const struct {
    absl::string_view text;
    std::vector<std::string> words;
  } kRows[] = {
      {"", {}},
      {" -- !?", {}},
      {"In the beginning", {"In", "the", "beginning"}},
      {"don't x_1 3.14", {"don", "t", "x", "1", "3", "14"}},
      {"床前ok明", {"床", "前", "ok", "明"}},
      {"café naïve", {"café", "naïve"}},
      {"cafe\u0301 x", {"cafe\u0301", "x"}},  // a combining accent
      {"\u0301x", {"x"}},
      {"Привет, мир", {"Привет", "мир"}},
      {"カナは語", {"カ", "ナ", "は", "語"}},
      {"한국어 웹", {"한국어", "웹"}},
      {"हिन्दी", {"हिन्दी"}},
      {"a\u3000b\u00a0c", {"a", "b", "c"}},
      {"x\xff y\xe5\xba", {"x", "y"}},
  };
  for (const auto& row : kRows) EXPECT_EQ(WordsOf(row.text), row.words) << row.text;
}

TEST(UnicodeTest, ClassesAreThoseOfRe2) {
  const re2::RE2 letter("\\pL"), number("\\pN"), mark("\\pM");
  for (uint32_t c = 1; c < kClassifiedCodePoints; c += c < 0x3000 ? 1 : 61) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    if (c < 0x80) {
      text = {static_cast<char>(c)};
    } else if (c < 0x800) {
      text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
    } else if (c < 0x10000) {
      text = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
              static_cast<char>(0x80 | (c & 63))};
    } else {
      text = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)),
              static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
    }
    const uint8_t expected = (re2::RE2::FullMatch(text, letter) ? kLetter : 0) |
                             (re2::RE2::FullMatch(text, number) ? kNumber : 0) |
                             (re2::RE2::FullMatch(text, mark) ? kMark : 0);
    EXPECT_EQ(CodePointClass(c) & (kLetter | kNumber | kMark), expected) << std::hex << c;
    const char* p = text.data();
    EXPECT_EQ(NextCodePoint(p, p + text.size()), c);
    EXPECT_TRUE(IsUtf8(text));
  }
  EXPECT_EQ(CodePointClass(0x10FFFF), 0);
  for (const uint32_t c : {0x09u, 0x20u, 0x85u, 0xA0u, 0x2003u, 0x3000u}) EXPECT_EQ(CodePointClass(c), kWhiteSpace);
}

TEST(UnicodeTest, Utf8) {
  for (const absl::string_view good : {"", "a", "é", "床", "😀", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(good)) << good;
  for (const absl::string_view bad : {"\x80", "\xc0\x80", "\xc3", "\xe5\xba", "\xe0\x80\x80", "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xff", "a\xfe"})
    EXPECT_FALSE(IsUtf8(bad)) << bad;
}

}  // namespace
}  // namespace millrace::data
