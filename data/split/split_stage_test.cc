#include "data/split/split_stage.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/corpus/stage_harness.h"
#include "data/corpus/text_hash.h"
#include "data/dedup/shingles.h"
#include "data/split/twin_key.h"

namespace millrace::data {
namespace {

StageOutcome RunOn(const std::vector<Document>& documents, const Split& parameters, int threads = 1) {
  StageHarness harness;
  harness.AddInput("from", documents, 2);
  return harness.Run([&](Stage& stage) { return RunSplit(stage, parameters); }, threads);
}

double PlaceOf(absl::string_view text) {
  return TextHashOf(absl::string_view("millrace.split.v1\0", 18), text).high / 0x1p64;
}

// Texts of random words; some are variants of an earlier one, some have twins.
std::vector<Document> RandomDocuments(int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Document> documents;
  std::vector<std::vector<int>> words_of;
  for (int i = 0; i < count; ++i) {
    std::vector<int> words;
    if (i > 0 && random() % 3 == 0) {
      words = words_of[random() % words_of.size()];
      for (int edits = random() % 6; edits > 0 && !words.empty(); --edits)
        words[random() % words.size()] = random() % 1000;
    } else {
      words.resize(random() % 60);
      for (int& word : words) word = random() % 1000;
    }
    std::string text;
    for (const int word : words) absl::StrAppend(&text, "w", word, " ");
    words_of.push_back(words);
    std::string id = random() % 4 == 0 ? absl::StrCat("page", i - 1, ".html") : absl::StrCat("page", i, ".txt");
    documents.push_back({id, text, static_cast<int32_t>(random() % 2), "en", "", random() % 2 == 0});
  }
  return documents;
}

TEST(SplitStageTest, AgreesWithThePlainWay) {
  for (int round = 0; round < 20; ++round) {
    const std::vector<Document> documents = RandomDocuments(200, round);
    Split parameters;
    parameters.set_held_out_fraction(0.05 * (round % 5));
    parameters.set_keep_twins_together(round % 2 == 0);
    parameters.set_drop_train_jaccard(round % 3 * 0.4);
    const StageOutcome outcome = RunOn(documents, parameters, 1 + round % 3);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;

    std::map<std::string, double> place_of_key;
    const auto key_of = [&](const Document& document) {
      return parameters.keep_twins_together() ? std::string(TwinKey(document.id)) : document.text;
    };
    for (const Document& document : documents) {
      const auto [it, inserted] = place_of_key.emplace(key_of(document), PlaceOf(document.text));
      if (!inserted) it->second = std::min(it->second, PlaceOf(document.text));
    }
    std::vector<Document> expected;
    std::vector<ShingleSet> held_out;
    std::set<std::string> held_out_texts;
    for (const Document& document : documents) {
      if (place_of_key[key_of(document)] >= parameters.held_out_fraction()) continue;
      held_out.push_back(ShingleSetOf(document.text, 5));
      held_out_texts.insert(document.text);
    }
    int dropped = 0;
    for (Document document : documents) {
      document.held_out = place_of_key[key_of(document)] < parameters.held_out_fraction();
      bool drop = false;
      if (!document.held_out) {
        drop = held_out_texts.count(document.text) > 0;
        for (const ShingleSet& set : held_out) {
          const double jaccard = OverlapOf(set, ShingleSetOf(document.text, 5)).jaccard();
          drop |= jaccard > 0 && jaccard >= parameters.drop_train_jaccard();
        }
      }
      dropped += drop;
      if (!drop) expected.push_back(document);
    }
    EXPECT_EQ(outcome.documents, expected) << "round " << round;
    EXPECT_EQ(outcome.metrics.at("documents_dropped"), dropped);
    EXPECT_EQ(outcome.metrics.at("documents_held_out"), held_out.size());
    EXPECT_EQ(outcome.metrics.at("documents_train"), expected.size() - held_out.size());
    EXPECT_EQ(outcome.examples.size(), std::min(dropped, 5));
    EXPECT_TRUE(absl::StrContains(outcome.files.at("manifest.json"), "\"sources\": 2"));
  }
}

TEST(SplitStageTest, ThreadsDoNotMatter) {
  const std::vector<Document> documents = RandomDocuments(2000, 77);
  Split parameters;
  parameters.set_held_out_fraction(0.05);
  const StageOutcome outcome = RunOn(documents, parameters);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_GT(outcome.metrics.at("documents_held_out"), 50);
  EXPECT_GT(outcome.metrics.at("documents_dropped"), 5);
  for (const int threads : {2, 7}) {
    const StageOutcome other = RunOn(documents, parameters, threads);
    EXPECT_TRUE(other.files == outcome.files);
    EXPECT_EQ(other.metrics, outcome.metrics);
  }
}

TEST(SplitStageTest, OtherDocumentsDoNotMoveOne) {
  std::vector<Document> documents = RandomDocuments(500, 3);
  Split parameters;
  parameters.set_held_out_fraction(0.2);
  parameters.set_keep_twins_together(false);
  const auto held_out_of = [&] {
    std::set<std::string> texts;
    for (const Document& document : RunOn(documents, parameters).documents) {
      if (document.held_out) texts.insert(document.text);
    }
    return texts;
  };
  const std::set<std::string> all = held_out_of();
  documents.resize(250);
  for (const std::string& text : held_out_of()) EXPECT_TRUE(all.count(text));
}

TEST(SplitStageTest, HeldOutMaxTakesTheSmallestPlaces) {
  const std::vector<Document> documents = RandomDocuments(500, 4);
  Split parameters;
  parameters.set_held_out_fraction(0.9);
  parameters.set_held_out_max("2000");
  parameters.set_keep_twins_together(false);
  const StageOutcome outcome = RunOn(documents, parameters);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_LE(outcome.metrics.at("bytes_held_out"), 2000);
  EXPECT_GT(outcome.metrics.at("bytes_held_out"), 1800);
  double largest = 0;
  for (const Document& document : outcome.documents) {
    if (document.held_out && document.text.size() > 50) largest = std::max(largest, PlaceOf(document.text));
  }
  EXPECT_LT(largest, 0.2);
}

TEST(SplitStageTest, TwinsAndTheirExamples) {
  std::string text, other;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&text, "word", i * i, " ");
  for (int i = 0; i < 100; ++i) absl::StrAppend(&other, "other", i, " ");
  Split parameters;
  parameters.set_held_out_fraction(std::max(PlaceOf(text), 1e-9) + 1e-6);
  ASSERT_LT(parameters.held_out_fraction(), 0.9);
  parameters.set_drop_train_jaccard(0.5);
  // The page is held out whatever format it is in; a copy elsewhere is dropped.
  std::vector<Document> documents = {{"page.txt", text}, {"page.html", "completely different words here and more"}};
  StageOutcome outcome = RunOn(documents, parameters);
  EXPECT_TRUE(outcome.documents[0].held_out);
  EXPECT_TRUE(outcome.documents[1].held_out);
  std::string variant;
  for (int i = 0;; ++i) {  // one that is not held out by itself
    variant = absl::StrCat("begin", i, " ", text);
    if (PlaceOf(variant) > parameters.held_out_fraction()) break;
  }
  documents.push_back({"copy", variant});
  outcome = RunOn(documents, parameters);
  EXPECT_EQ(outcome.ids(), (std::vector<std::string>{"page.txt", "page.html"}));
  ASSERT_EQ(outcome.examples.size(), 1);
  EXPECT_EQ(outcome.examples[0].example().group(), "dropped: near a held-out document");
  EXPECT_EQ(outcome.examples[0].example().title(), "copy: Jaccard 0.990 with page.txt, which is held out");
}

TEST(SplitStageTest, NothingHeldOutIsAWarning) {
  Split parameters;
  parameters.set_held_out_fraction(1e-12);
  const StageOutcome outcome = RunOn(RandomDocuments(10, 1), parameters);
  EXPECT_TRUE(outcome.status.ok());
  ASSERT_EQ(outcome.warnings.size(), 1);
  EXPECT_TRUE(absl::StrContains(outcome.warnings[0], "no document of 10 is held out"));
  EXPECT_TRUE(RunOn({}, parameters).status.ok());
}

}  // namespace
}  // namespace millrace::data
