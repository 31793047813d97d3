#include "executor/observe/display_width.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(DisplayWidthTest, CountsColumns) {
  struct Row {
    const char* text;
    int width;
  };
  for (const Row& row : {Row{"", 0}, Row{"abc", 3}, Row{"深度学习", 8}, Row{"e\u0301", 1}, Row{"한국", 4}, Row{"ｱ", 1},
                         Row{"（）", 4}, Row{"🚀", 2}, Row{"a\xff", 2}, Row{"é…", 2}}) {
    EXPECT_EQ(DisplayWidth(row.text), row.width) << row.text;
  }
}

TEST(DisplayWidthTest, TruncatesAtColumnsAndNeverInsideACharacter) {
  EXPECT_EQ(TruncateToWidth("abcdef", 6), "abcdef");
  EXPECT_EQ(TruncateToWidth("abcdefg", 6), "abcde…");
  EXPECT_EQ(TruncateToWidth("深度学习", 6), "深度…");
  EXPECT_EQ(TruncateToWidth("深度学习", 1), "…");
  EXPECT_EQ(TruncateToWidth("深度学习", 0), "");
  EXPECT_EQ(TruncateToWidth("abc", 2, "..."), "ab");
}

TEST(DisplayWidthTest, ElidesInTheMiddle) {
  EXPECT_EQ(ElideMiddle("tokenizer_of_the_code", 11), "token…_code");
  EXPECT_EQ(ElideMiddle("深度学习模型", 7), "深度…型");
  EXPECT_EQ(ElideMiddle("short", 11), "short");
  for (int width = 0; width < 30; ++width) {
    EXPECT_LE(DisplayWidth(ElideMiddle("a深b度c学d习e模f型", width)), width);
    EXPECT_LE(DisplayWidth(TruncateToWidth("a深b度c学d习e模f型", width)), width);
  }
}

TEST(DisplayWidthTest, Pads) {
  EXPECT_EQ(PadRight("深", 4), "深  ");
  EXPECT_EQ(PadLeft("ab", 4), "  ab");
  EXPECT_EQ(PadRight("abcdef", 4), "abcdef");
}

TEST(PrintableTest, LeavesNothingThatMovesTheCursor) {
  EXPECT_EQ(Printable("plain"), "plain");
  EXPECT_EQ(Printable("\x1b[31mred\x1b[0m"), "red");
  EXPECT_EQ(Printable("10%\r50%\r100%\n"), "100%");
  EXPECT_EQ(Printable("\x1b]0;title\x07text"), "text");
  EXPECT_EQ(Printable("a\tb\x01"), "a    b");
  EXPECT_EQ(Printable("bad\xff"), "bad\xEF\xBF\xBD");
  EXPECT_EQ(Printable("\x1b["), "");
}

}  // namespace
}  // namespace millrace
