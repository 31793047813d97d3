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

TEST(WrapTextTest, BreaksAtSpacesAndIndentsWhatFollows) {
  EXPECT_EQ(WrapText("one two three\nfour\n", 9, 2), "one two\n  three\nfour\n");
  EXPECT_EQ(WrapText("  run   a    why it runs", 15, 2), "  run   a\n    why it runs");
  EXPECT_EQ(WrapText("fits  as it is", 20, 2), "fits  as it is");
  EXPECT_EQ(WrapText("ab /very/long/path b", 8, 1), "ab\n /very/long/path\n b") << "a word stays whole";
  EXPECT_EQ(WrapText("\x1b[31mred\x1b[0m and blue", 12, 2), "\x1b[31mred\x1b[0m and blue") << "escapes take no columns";
  EXPECT_EQ(WrapText("深度 学习", 5, 0), "深度\n学习");
  EXPECT_EQ(WrapText("all of 121 158 ids", 12, 0), "all of\n121 158 ids") << "a number is a word";
  EXPECT_EQ(WrapText("one two", 0, 2), "one two");
  EXPECT_EQ(WrapText("", 10, 2), "");
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
