#include "data/filter/text_statistics.h"

#include <gtest/gtest.h>

namespace millrace::data {
namespace {

TEST(TextStatisticsTest, Table) {
  const struct {
    absl::string_view text;
    int64_t words, characters;
    double repeated_lines, replacements, alphabetic;
    int64_t max_line;
    double mean_line;
  } kRows[] = {
      {"", 0, 0, 0, 0, 0, 0, 0},
      {"\n", 0, 1, 0, 0, 0, 0, 0},
      {"two words", 2, 9, 0, 0, 8 / 9.0, 9, 9},
      {"床前ok\n", 3, 5, 0, 0, 4 / 5.0, 4, 4},
      {"a\nb\na\n a \n\n\n", 4, 12, 2 / 4.0, 0, 4 / 12.0, 3, 6 / 6.0},
      {"a\r\nab\r\n", 2, 7, 0, 0, 3 / 7.0, 2, 1.5},
      {"a\xef\xbf\xbd\xef\xbf\xbd 1", 2, 5, 0, 2 / 5.0, 1 / 5.0, 5, 5},
      {"éé\n床", 2, 4, 0, 0, 3 / 4.0, 2, 1.5},
      {"x\n\n\ny", 2, 5, 0, 0, 2 / 5.0, 1, 2 / 4.0},
      {"😀 12", 1, 4, 0, 0, 0, 4, 4},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(CountWords(row.text), row.words) << row.text;
    EXPECT_EQ(CountCharacters(row.text), row.characters) << row.text;
    EXPECT_DOUBLE_EQ(RepeatedLineFraction(row.text), row.repeated_lines) << row.text;
    EXPECT_DOUBLE_EQ(ReplacementCharacterFraction(row.text), row.replacements) << row.text;
    EXPECT_DOUBLE_EQ(AlphabeticFraction(row.text), row.alphabetic) << row.text;
    EXPECT_EQ(MaxLineCharacters(row.text), row.max_line) << row.text;
    EXPECT_DOUBLE_EQ(MeanLineCharacters(row.text), row.mean_line) << row.text;
  }
}

}  // namespace
}  // namespace millrace::data
