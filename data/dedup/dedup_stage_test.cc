#include "data/dedup/dedup_stage.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "data/corpus/stage_harness.h"

namespace millrace::data {
namespace {

StageOutcome RunOn(StageHarness& harness, const Dedup& parameters, int threads = 1) {
  return harness.Run([&](Stage& stage) { return RunDedup(stage, parameters); }, threads);
}

Dedup Both() {
  Dedup dedup;
  dedup.mutable_exact();
  dedup.mutable_minhash();
  return dedup;
}

TEST(DedupStageTest, ExactDuplicates) {
  const std::string a = "The same words in the same order", b = "Other words in another order";
  const struct {
    bool normalize;
    std::vector<Document> in;
    std::vector<std::string> groups;  // ids of each group
  } kRows[] = {
      {true, {{"1", a}, {"2", b}, {"3", a}}, {"1 3", "2"}},
      {true, {{"1", a}, {"2", "The  same\r\nwords in the\u00a0same\u3000order\n"}}, {"1 2"}},
      {false, {{"1", a}, {"2", a + " "}, {"3", a + " "}}, {"1", "2 3"}},
      {true, {{"1", a}, {"2", "THE SAME WORDS IN THE SAME ORDER"}}, {"1", "2"}},
      {true, {{"1", ""}, {"2", " \n"}, {"3", ""}}, {"1 2 3"}},
      {true, {}, {}},
  };
  for (const auto& row : kRows) {
    StageHarness harness;
    harness.AddInput("from.0", row.in);
    Dedup parameters;
    parameters.mutable_exact()->set_normalize_whitespace(row.normalize);
    const StageOutcome outcome = RunOn(harness, parameters);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    // Of each group the smallest hash of the text, of equal texts the first.
    std::map<std::string, std::string> text_of;
    for (const Document& document : row.in) text_of[document.id] = document.text;
    std::vector<std::string> expected;
    for (const std::string& group : row.groups) {
      std::string best;
      for (const char id : group) {
        if (id == ' ') continue;
        const std::string candidate(1, id);
        if (best.empty() || Sha256Hex(text_of[candidate]) < Sha256Hex(text_of[best])) best = candidate;
      }
      expected.push_back(best);
    }
    EXPECT_EQ(outcome.ids(), expected);
    EXPECT_EQ(outcome.metrics.at("documents_in"), row.in.size());
    EXPECT_EQ(outcome.metrics.at("documents_kept"), row.groups.size());
    EXPECT_EQ(outcome.metrics.at("exact_duplicates"), row.in.size() - row.groups.size());
  }
}

TEST(DedupStageTest, TextsWithoutWordsAreNoNearDuplicates) {
  StageHarness harness;
  harness.AddInput("from.0", {{"1", "--"}, {"2", "!?"}, {"3", "..."}});
  EXPECT_EQ(RunOn(harness, Both()).documents.size(), 3);
}

// Source ordinals, order and the other fields are those of the inputs.
TEST(DedupStageTest, SeveralInputs) {
  StageHarness harness;
  harness.AddInput("from.0", {{"a", "one text about this", 1, "en", "MIT", false}}, 2);
  harness.AddInput("from.1", {{"b", "another text about that", 0, "", "", true}, {"c", "one text about this"}}, 1);
  const StageOutcome outcome = RunOn(harness, Both());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.documents, (std::vector<Document>{{"a", "one text about this", 1, "en", "MIT", false},
                                                      {"b", "another text about that", 2, "", "", true}}));
  EXPECT_NE(outcome.files.at("manifest.json").find("\"sources\": 3"), std::string::npos);
}

TEST(DedupStageTest, FixtureGroupsBooksAndThreads) {
  const std::vector<Document> documents = DocumentsOfJsonl("data/dedup/testdata/dedup/docs.jsonl");
  StageHarness harness;
  harness.AddInput("from.0", documents);
  const StageOutcome outcome = RunOn(harness, Both(), 1);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  for (const int threads : {2, 7}) {
    const StageOutcome other = RunOn(harness, Both(), threads);
    EXPECT_TRUE(other.files == outcome.files) << threads;
    EXPECT_EQ(other.metrics, outcome.metrics);
  }

  // What must be together at 0.75, and what may be: each kept document is the smallest of its group.
  std::map<std::string, std::set<std::string>> neighbours;
  std::ifstream lines("data/dedup/testdata/dedup/pairs.jsonl");
  int certain = 0, apart = 0;
  std::set<std::string> kept;
  for (const Document& document : outcome.documents) kept.insert(document.id);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json pair = nlohmann::json::parse(line);
    if (pair["jaccard"] < 0.75) continue;
    neighbours[pair["a"]].insert(pair["b"]);
    neighbours[pair["b"]].insert(pair["a"]);
    if (pair["jaccard"] < 0.8) continue;
    ++certain;
    apart += kept.count(pair["a"]) && kept.count(pair["b"]);
  }
  EXPECT_LE(apart, 0.05 * certain);
  std::map<std::string, std::string> text_of;
  for (const Document& document : documents) text_of[document.id] = document.text;
  for (const Document& document : documents) {
    if (!neighbours.count(document.id)) {
      EXPECT_TRUE(kept.count(document.id)) << document.id << " resembles nothing";
      continue;
    }
    if (kept.count(document.id)) continue;
    // Dropped: its component has a kept document with a smaller hash.
    std::set<std::string> component = {document.id};
    std::vector<std::string> todo = {document.id};
    bool has_smaller_kept = false;
    while (!todo.empty()) {
      const std::string id = todo.back();
      todo.pop_back();
      has_smaller_kept |= kept.count(id) && Sha256Hex(text_of[id]) <= Sha256Hex(text_of[document.id]);
      for (const std::string& neighbour : neighbours[id]) {
        if (component.insert(neighbour).second) todo.push_back(neighbour);
      }
    }
    EXPECT_TRUE(has_smaller_kept) << document.id;
  }

  EXPECT_EQ(outcome.metrics.at("documents_in"), 1866);
  EXPECT_EQ(outcome.metrics.at("documents_in"), outcome.metrics.at("documents_kept") +
                                                    outcome.metrics.at("exact_duplicates") +
                                                    outcome.metrics.at("near_duplicates"));
  EXPECT_GT(outcome.metrics.at("exact_duplicates"), 30);
  EXPECT_GT(outcome.metrics.at("near_duplicates"), 200);
  int near_examples = 0;
  for (const StageEvent& example : outcome.examples) {
    if (example.example().group() != "dropped: near duplicate") continue;
    ++near_examples;
    EXPECT_NE(example.example().title().find(": Jaccard "), std::string::npos) << example.example().title();
  }
  EXPECT_EQ(near_examples, 5);
}

TEST(DedupStageTest, NothingToLookForIsAnError) {
  StageHarness harness;
  harness.AddInput("from.0", {});
  EXPECT_EQ(RunOn(harness, Dedup()).status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace::data
