#include "data/tokenizer/character_borders.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::data {
namespace {

TEST(CharacterBordersTest, ClosedWhereNoMergeReachesOver) {
  struct Row {
    std::string left, right;  // of the one merge
    std::string before, after;
    bool closed;
  };
  const Row kRows[] = {
      {"中", "文", "中", "文", false},
      {"中", "文", "文", "中", true},
      {"中", "文", "中", "中", true},
      {"在中", "文章", "中", "文", false},    // whatever else the parts have
      {"中", "\xE6", "中", "文", false},      // a piece of the right character: E6 96 87
      {"中", "\xE6\x96", "中", "国", false},  // not looked at more closely
      {"中", "\xE6", "国", "文", true},
      {"\xAD", "文", "中", "文", false},  // a piece of the left one: E4 B8 AD
      {"\xAD", "文", "中", "国", true},
      {"\xB8\xAD", "\xE6\x96", "中", "文", false},  // pieces of both
      {"\xAD", "\xE6", "国", "曲", false},          // E6 9B B2
      {"\xB8\xAD", "\xE6\x96", "中", "国", true},
      {"a", "文", "中", "文", true},
      {"中", "文", "aaa", "文", false},               // no character before it
      {"中", "文", "中", "\xF0\x9F\x98\x80", false},  // four bytes
  };
  for (const Row& row : kRows) {
    const CharacterBorders borders({{row.left, row.right}});
    const std::string text = row.before + row.after;
    EXPECT_EQ(borders.IsClosed(text.data() + row.before.size()), row.closed)
        << row.left << "|" << row.right << " in " << text;
  }
}

}  // namespace
}  // namespace millrace::data
