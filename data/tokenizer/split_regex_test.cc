#include "data/tokenizer/split_regex.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

namespace millrace::data {
namespace {

TEST(ParseClassRunTest, Shapes) {
  const struct {
    const char* pattern;
    bool optional_space;
    std::vector<CodePointRange> set;
    int at_most;
  } cases[] = {
      {"[\r\n]", false, {{'\n', '\n'}, {'\r', '\r'}}, 1},
      {"[a-c]+", false, {{'a', 'c'}}, 0},
      {"[c-eab]+", false, {{'a', 'e'}}, 0},
      {"\\s?[!-/:-~]+", true, {{'!', '/'}, {':', '~'}}, 0},
      {"[x]{1,3}", false, {{'x', 'x'}}, 3},
      {"[^\\u0001-\U0010FFFF]", false, {{0, 0}}, 1},
      {"[\\[\\]\\\\-]+", false, {{'-', '-'}, {'[', ']'}}, 0},
  };
  for (const auto& c : cases) {
    const std::optional<ClassRun> run = ParseClassRun(c.pattern);
    ASSERT_TRUE(run.has_value()) << c.pattern;
    EXPECT_EQ(run->optional_space, c.optional_space) << c.pattern;
    EXPECT_EQ(run->set, c.set) << c.pattern;
    EXPECT_EQ(run->at_most, c.at_most) << c.pattern;
  }
  EXPECT_EQ(ParseClassRun("\\p{N}{1,3}")->set, RangesOfClass(unicode_class::kNumber));
  for (const char* pattern : {"ab", "[a]*", "[a]+b", "[a]|[b]", "\\s+$", " ?[a]+", "[a]{2,3}"}) {
    EXPECT_FALSE(ParseClassRun(pattern).has_value()) << pattern;
  }
}

TEST(TranslateToRe2Test, RefusesByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"a(?=b)", "(?=b...)"},    {"(?<!x)a", "(?<!...)"},
      {"[a]++", "possessive"},   {"\\w+", "\\w"},
      {"\\bfoo", "\\b"},         {"\\p{Lu}", "\\p{Lu}"},
      {"[a&&b]", "&&"},          {"[[:alpha:]]", "class in a class"},
      {"x{,3}", "brace"},        {"x{2}?", "after an interval"},
      {"a*", "matches nothing"}, {"\\1", "\\1"},
      {"(a", "missing"},
  };
  for (const auto& [pattern, name] : cases) {
    const absl::StatusOr<Re2Pattern> translated = TranslateToRe2(pattern);
    ASSERT_FALSE(translated.ok()) << pattern << " became " << translated->pattern;
    EXPECT_EQ(translated.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_NE(translated.status().message().find(name), absl::string_view::npos) << translated.status();
  }
}

TEST(TranslateToRe2Test, MeansTheSame) {
  const struct {
    const char* pattern;
    const char* text;
    bool matches;
  } cases[] = {
      {"(?i:'s|'t)|x{2,3}", "'T", true}, {"\\s", "\u3000", true}, {"\\s", "\x1C", false},  {".", "\n", false},
      {"\\p{L}+", "\u1C89", true},       {"\\d", "٣", true},      {"a\\.b", "axb", false}, {"a|b$", "b", true},
  };
  for (const auto& c : cases) {
    const absl::StatusOr<Re2Pattern> translated = TranslateToRe2(c.pattern);
    ASSERT_TRUE(translated.ok()) << translated.status();
    EXPECT_EQ(RE2::FullMatch(c.text, RE2(translated->pattern)), c.matches) << c.pattern;
  }
}

}  // namespace
}  // namespace millrace::data
