#include "data/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace millrace::data {
namespace {

using namespace std::string_literals;

TEST(Utf8Test, ReplacesMaximalSubparts) {
  // Expected: Python's bytes.decode("utf-8", "replace").
  const std::pair<std::string, std::string> cases[] = {
      {"plain", "plain"},
      {"\x80", "\uFFFD"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},
      {"\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xE4\xB8", "\uFFFD"},
      {"\xE4\xB8!", "\uFFFD!"},
      {"\xF0\x9F\x98", "\uFFFD"},
      {"\xF0\x9F\x98\x80\xF0\x9F", "\U0001F600\uFFFD"},
      {"\xF0\x9F!\x98", "\uFFFD!\uFFFD"},
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xF5\x80", "\uFFFD\uFFFD"},
      {"a\xFFz", "a\uFFFDz"},
      {""s, ""},
  };
  for (const auto& [in, out] : cases) {
    EXPECT_EQ(ReplaceInvalidUtf8(in), out);
    EXPECT_EQ(IsValidUtf8(in), in == out);
  }
}

TEST(Utf8Test, DecodesWhatItAppends) {
  for (uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 37) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, text);
    ASSERT_TRUE(IsValidUtf8(text));
    int length = 0;
    ASSERT_EQ(DecodeUtf8(text.data(), length), c);
    ASSERT_EQ(length, text.size());
    ASSERT_EQ(Utf8Length(text[0]), length);
    ASSERT_EQ(ReplaceInvalidUtf8(text), text);
  }
}

}  // namespace
}  // namespace millrace::data
