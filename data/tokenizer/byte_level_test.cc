#include "data/tokenizer/byte_level.h"

#include <gtest/gtest.h>

namespace millrace::data {
namespace {

TEST(ByteLevelTest, Alphabet) {
  EXPECT_EQ(ByteLevelText(" a\n"), "Ġa\u010A");
  EXPECT_EQ(ByteLevelText("\x7F\xAD\xFF"), "\u0121\u0143ÿ");
  EXPECT_EQ(BytesInAlphabetOrder()[0], '!');
  EXPECT_EQ(BytesInAlphabetOrder()[255], 0xAD);
}

TEST(ByteLevelTest, EachByteComesBack) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(ByteLevelBytes(ByteLevelText(all)), all);
}

TEST(ByteLevelTest, OtherCharactersAreNoBytes) {
  for (const char* text : {"<｜end▁of▁sentence｜>", "a b", "\u0144", "中"}) {
    EXPECT_EQ(ByteLevelBytes(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace millrace::data
