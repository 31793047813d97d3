#include "data/filter/filter_stage.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/corpus/stage_harness.h"
#include "google/protobuf/text_format.h"

namespace millrace::data {
namespace {

Filter Parsed(const std::string& text) {
  Filter filter;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &filter)) << text;
  return filter;
}

StageOutcome RunOn(const std::vector<Document>& documents, const std::string& rules, int threads = 1) {
  StageHarness harness;
  harness.AddInput("from.0", documents);
  const Filter parameters = Parsed(rules);
  return harness.Run([&](Stage& stage) { return RunFilter(stage, parameters); }, threads);
}

TEST(FilterStageTest, EachRule) {
  const struct {
    std::string what;
    std::vector<std::string> kept, dropped;
    std::string why;  // of the first dropped one
  } kRows[] = {
      {"bytes { min: 2 max: 4 }", {"ab", "床", "abcd"}, {"a", "abcde", "床床"}, "bytes 1, min 2"},
      {"words { min: 2 }", {"a b", "床前", "a,b"}, {"", "ab", "--"}, "words 0, min 2"},
      {"words { max: 2 }", {"", "a b"}, {"a b c", "床前明"}, "words 3, max 2"},
      {"repeated_line_fraction { max: 0.5 }",
       {"a\na\n", "a\nb\n\n\n\n", ""},
       {"a\na\na"},
       "repeated_line_fraction 0.666667, max 0.5"},
      {"replacement_character_fraction { max: 0.1 }",
       {"123456789\xef\xbf\xbd", ""},
       {"\xef\xbf\xbd"},
       "replacement_character_fraction 1, max 0.1"},
      {"max_line_characters { max: 3 }",
       {"abc\nabc", "床前明\r\n", ""},
       {"abcd", "a\n床前明月\n"},
       "max_line_characters 4, max 3"},
      {"mean_line_characters { min: 1 max: 2 }",
       {"a\nabc", "a\n"},
       {"abc", "\n\na", ""},
       "mean_line_characters 3, max 2"},
      {"alphabetic_fraction { min: 0.5 }",
       {"a1", "床1é2"},
       {"a11", "", "123"},
       "alphabetic_fraction 0.333333, min 0.5"},
      {"drop_matching: \"(?i)lorem +ipsum\"", {"lorem", "loremipsum"}, {"x LOREM  ipsum"}, "matches at byte 2"},
      {"drop_matching: \"^x\"", {"a\nx"}, {"x"}, "matches at byte 0"},
      {"drop_matching: \"(?m)^x\"", {"ax"}, {"a\nx"}, "matches at byte 2"},
      {"drop_matching: \"^$\"", {"a", "\n"}, {""}, "matches at byte 0"},
  };
  for (const auto& row : kRows) {
    std::vector<Document> documents;
    for (const std::string& text : row.kept) documents.push_back({absl::StrCat("kept", documents.size()), text});
    for (const std::string& text : row.dropped) documents.push_back({absl::StrCat("dropped", documents.size()), text});
    const StageOutcome outcome = RunOn(documents, absl::StrCat("rule { name: \"r\" ", row.what, " }"));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (const Document& document : outcome.documents)
      EXPECT_TRUE(absl::StartsWith(document.id, "kept")) << row.what << ": " << document.text;
    EXPECT_EQ(outcome.documents.size(), row.kept.size()) << row.what;
    EXPECT_EQ(outcome.metrics.at("documents_dropped.r"), row.dropped.size()) << row.what;
    ASSERT_FALSE(outcome.examples.empty());
    EXPECT_EQ(outcome.examples[0].example().group(), "dropped: r");
    EXPECT_EQ(outcome.examples[0].example().title(), absl::StrCat("dropped", row.kept.size(), ": ", row.why));
  }
}

TEST(FilterStageTest, RulesInOrderBooksAndRedactions) {
  const std::vector<Document> documents = {
      {"1", "short", 0, "en"},
      {"2", "mail me@example.org and you@example.org", 0, "en-GB", "MIT", true},
      {"3", "mail 你 me@example.org", 0, "zh"},
      {"4", "password in the text", 0, "EN"},
      {"5", "password", 0, ""},
  };
  const std::string rules = R"(
      rule { name: "mail" redact_matching: "(\\w+)@[\\w.]+" replacement: "<\\1>" }
      rule { name: "secret" drop_matching: "<me>.*<you>" only_language: "zh" }
      rule { name: "length" bytes { min: 6 } }
      rule { name: "word" only_language: "en" drop_matching: "password" })";
  const StageOutcome outcome = RunOn(documents, rules);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.documents, (std::vector<Document>{{"2", "mail <me> and <you>", 0, "en-GB", "MIT", true},
                                                      {"3", "mail 你 <me>", 0, "zh"},
                                                      {"5", "password", 0, ""}}));
  const std::map<std::string, double> expected = {{"documents_in", 5},
                                                  {"documents_kept", 3},
                                                  {"documents_kept_fraction", 0.6},
                                                  {"documents_dropped", 2},
                                                  {"documents_dropped.length", 1},
                                                  {"documents_dropped.word", 1},
                                                  {"documents_dropped.secret", 0},
                                                  {"redactions.mail", 3},
                                                  {"bytes_in", 95},
                                                  {"bytes_kept", 40},
                                                  {"bytes_dropped", 25},
                                                  {"bytes_redacted", 30}};
  EXPECT_EQ(outcome.metrics, expected);
  ASSERT_EQ(outcome.examples.size(), 4);
  EXPECT_EQ(outcome.examples[1].example().group(), "redacted: mail");
  EXPECT_EQ(outcome.examples[1].example().title(), "2: 2 replaced");
  EXPECT_EQ(outcome.examples[1].example().text(), "mail <me> and <you>");
}

TEST(FilterStageTest, ExamplesAreFewAndShowTheMatch) {
  std::vector<Document> documents;
  for (int i = 0; i < 10; ++i)
    documents.push_back({absl::StrCat(i), "床" + std::string(1000, 'a') + "床x" + std::string(9999, 'b')});
  const StageOutcome outcome = RunOn(documents, "rule { name: \"r\" drop_matching: \"x\" }");
  ASSERT_EQ(outcome.examples.size(), 3);
  EXPECT_EQ(outcome.examples[2].example().title(), "2: matches at byte 1006");
  EXPECT_TRUE(absl::StartsWith(outcome.examples[2].example().text(), std::string(197, 'a') + "床x"));
}

TEST(FilterStageTest, ThreadsDoNotMatter) {
  std::vector<Document> documents;
  for (int i = 0; i < 3000; ++i)
    documents.push_back({absl::StrCat(i), absl::StrCat("text ", i * i, std::string(i % 300, 'x'))});
  const std::string rules = R"(rule { name: "a" redact_matching: "1+" replacement: "one" }
                               rule { name: "b" bytes { min: 30 } }
                               rule { name: "c" drop_matching: "7.*7" })";
  const StageOutcome outcome = RunOn(documents, rules);
  ASSERT_TRUE(outcome.status.ok());
  EXPECT_GT(outcome.documents.size(), 1000);
  for (const int threads : {2, 7}) {
    const StageOutcome other = RunOn(documents, rules, threads);
    EXPECT_TRUE(other.files == outcome.files);
    EXPECT_EQ(other.metrics, outcome.metrics);
  }
}

TEST(FilterStageTest, WithoutRulesEverythingIsKept) {
  EXPECT_EQ(RunOn({{"1", "a"}, {"2", ""}}, "").documents.size(), 2);
  EXPECT_EQ(RunOn({}, "").metrics.at("documents_kept_fraction"), 1);
}

TEST(FilterStageTest, SaysWhatIsWrongWithARule) {
  const struct {
    std::string rules, what;
  } kRows[] = {
      {"rule { name: \"r\" }", "rule \"r\": it says nothing"},
      {"rule { name: \"r\" words {} }", "rule \"r\": neither min nor max"},
      {"rule { name: \"r\" words { min: 3 max: 2 } }", "rule \"r\": min 3 is above max 2"},
      {"rule { name: \"r\" drop_matching: \"(\" }", "rule \"r\": pattern \"(\": missing )"},
      {"rule { name: \"r\" drop_matching: \"a(?=b)\" }", "invalid perl operator"},
      {"rule { name: \"r\" redact_matching: \"a\" replacement: \"\\\\1\" }", "replacement \"\\1\": "},
      {"rule { name: \"r\" redact_matching: \"\\\\C\" }", "matches single bytes"},
      {"rule { name: \"r\" drop_matching: \"a\" replacement: \"b\" }", "replacement without redact_matching"},
      {"rule { name: \"r\" words { min: 1 } } rule { name: \"r\" bytes { min: 1 } }", "two rules are named \"r\""},
  };
  for (const auto& row : kRows) {
    const absl::Status status = RunOn({}, row.rules).status;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.rules;
    EXPECT_TRUE(absl::StrContains(status.message(), row.what)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "\n  fix: ")) << status;
  }
}

}  // namespace
}  // namespace millrace::data
