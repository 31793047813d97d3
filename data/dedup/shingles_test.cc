#include "data/dedup/shingles.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data/corpus/stage_harness.h"

namespace millrace::data {
namespace {

TEST(ShinglesTest, Table) {
  const struct {
    absl::string_view a, b;
    int ngram_words;
    int64_t intersection, union_size;
  } kRows[] = {
      {"a b c d e f", "a b c d e f", 5, 2, 2},
      {"a b c d e f", "A, b; C-d\n(e) f!", 5, 2, 2},  // case and punctuation
      {"a b c d e f", "a b c d e g", 5, 1, 3},
      {"a b a b a b a b", "a b a b a b", 2, 2, 2},  // a set
      {"a b c", "a b c", 5, 1, 1},                  // fewer words than ngram_words: one shingle
      {"a b c", "a b c d", 5, 0, 2},
      {"a b c d e", "a b c d e f", 5, 1, 2},
      {"", "", 5, 0, 0},  // no words resemble nothing
      {"--", "a", 5, 0, 1},
      {"床前明月光", "床 前 明 月 光", 5, 1, 1},
      {"abcdefgh", "ABCDEFGH", 5, 1, 1},  // exactly eight bytes
      {"abcdefghi", "abcdefghI", 5, 1, 1},
      {"@[`{", "@", 1, 0, 0},
      {"Z@", "z`", 1, 1, 1},
      {"ab c", "a bc", 1, 0, 4},
  };
  for (const auto& row : kRows) {
    const Overlap overlap = OverlapOf(ShingleSetOf(row.a, row.ngram_words), ShingleSetOf(row.b, row.ngram_words));
    EXPECT_EQ(overlap.intersection, row.intersection) << row.a << " / " << row.b;
    EXPECT_EQ(overlap.union_size, row.union_size) << row.a << " / " << row.b;
  }
}

// The plain way: words joined by a space, in a std::set.
std::set<std::string> PlainShingles(const std::vector<std::string>& words, size_t n) {
  if (words.empty()) return {};
  n = std::min(n, words.size());
  std::set<std::string> set;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    set.insert(absl::AsciiStrToLower(absl::StrJoin(words.begin() + i, words.begin() + i + n, " ")));
  }
  return set;
}

TEST(ShinglesTest, AgreesWithThePlainWay) {
  std::mt19937 random(1);
  const auto text_of = [&](std::vector<std::string>& words) {
    words.resize(random() % 30);
    for (std::string& word : words) word = absl::StrCat(random() % 2 ? "a" : "LongerThanEightBytes", random() % 3);
    return absl::StrJoin(words, random() % 2 ? " " : ", ");
  };
  for (int i = 0; i < 500; ++i) {
    const int n = 1 + random() % 6;
    std::vector<std::string> a_words, b_words;
    const std::string a = text_of(a_words), b = text_of(b_words);
    const std::set<std::string> a_set = PlainShingles(a_words, n), b_set = PlainShingles(b_words, n);
    std::vector<std::string> both;
    std::set_intersection(a_set.begin(), a_set.end(), b_set.begin(), b_set.end(), std::back_inserter(both));
    const Overlap overlap = OverlapOf(ShingleSetOf(a, n), ShingleSetOf(b, n));
    EXPECT_EQ(overlap.intersection, both.size()) << a << "\n" << b;
    EXPECT_EQ(overlap.union_size, a_set.size() + b_set.size() - both.size()) << a << "\n" << b;
  }
}

TEST(ShinglesTest, FixtureCountsAreExact) {
  std::map<std::string, ShingleSet> shingles;
  for (const Document& document : DocumentsOfJsonl("data/dedup/testdata/dedup/docs.jsonl"))
    shingles[document.id] = ShingleSetOf(document.text, 5);
  std::ifstream lines("data/dedup/testdata/dedup/pairs.jsonl");
  int pairs = 0;
  for (std::string line; std::getline(lines, line); ++pairs) {
    const nlohmann::json pair = nlohmann::json::parse(line);
    const Overlap overlap = OverlapOf(shingles.at(pair["a"]), shingles.at(pair["b"]));
    EXPECT_EQ(overlap.intersection, pair["inter"].get<int64_t>()) << line;
    EXPECT_EQ(overlap.union_size, pair["union"].get<int64_t>()) << line;
  }
  EXPECT_EQ(pairs, 803);
}

}  // namespace
}  // namespace millrace::data
