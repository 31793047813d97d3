#include "data/tokenizer/added_tokens.h"

#include <gtest/gtest.h>

#include <random>

namespace millrace::data {
namespace {

struct Found {
  size_t begin;
  size_t end;
  uint32_t value;
  friend bool operator==(const Found&, const Found&) = default;
};

std::vector<Found> FindAll(const AddedTokenFinder& finder, const std::string& text) {
  std::vector<Found> all;
  AddedTokenFinder::Search search(finder, text);
  AddedTokenFinder::Match match;
  while (search.Next(match)) all.push_back({match.begin, match.end, match.value});
  return all;
}

TEST(AddedTokenFinderTest, LeftmostThenLongest) {
  const AddedTokenFinder finder({"<a>", "<a>b", "<a", "x"});
  EXPECT_EQ(FindAll(finder, "..<a>b<a><ax<"), (std::vector<Found>{{2, 6, 1}, {6, 9, 0}, {9, 11, 2}, {11, 12, 3}}));
  EXPECT_TRUE(FindAll(finder, "").empty());
  EXPECT_TRUE(FindAll(AddedTokenFinder({}), "<a>").empty());
}

TEST(AddedTokenFinderTest, AgreesWithASearchAtEachPlace) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const std::string letters = "abcdef<";
    const auto word = [&](int longest) {
      std::string word;
      for (int i = random() % longest + 1; i > 0; --i) word += letters[random() % letters.size()];
      return word;
    };
    std::vector<std::string> contents;
    for (int i = random() % 12 + 1; i > 0; --i) {
      const std::string content = word(5);
      if (std::find(contents.begin(), contents.end(), content) == contents.end()) contents.push_back(content);
    }
    const std::string text = word(200);
    std::vector<Found> expected;
    for (size_t begin = 0; begin < text.size();) {
      Found best = {begin, begin, 0};
      for (uint32_t i = 0; i < contents.size(); ++i) {
        if (text.compare(begin, contents[i].size(), contents[i]) == 0 && begin + contents[i].size() > best.end)
          best = {begin, begin + contents[i].size(), i};
      }
      if (best.end > begin) expected.push_back(best);
      begin = std::max(best.end, begin + 1);
    }
    ASSERT_EQ(FindAll(AddedTokenFinder(contents), text), expected) << "seed " << seed;
  }
}

TEST(AddedTokenFinderTest, TimeIsLinear) {
  // A text of nothing but matches, in which the other first byte never occurs: looked for anew each time, it would take
  // hours.
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "<a>";
  EXPECT_EQ(FindAll(AddedTokenFinder({"<a>", "zz"}), text).size(), 1'000'000);
}

}  // namespace
}  // namespace millrace::data
