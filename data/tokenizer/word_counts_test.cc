#include "data/tokenizer/word_counts.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "data/tokenizer/byte_level.h"

namespace millrace::data {
namespace {

std::vector<std::string> FixtureTexts() {
  std::vector<std::string> texts;
  std::ifstream file("data/tokenizer/testdata/bpe_train/corpus.jsonl");
  for (std::string line; std::getline(file, line);) texts.push_back(nlohmann::json::parse(line)["text"]);
  return texts;
}

TEST(WordCounterTest, CountsOfTheFixture) {
  std::vector<WordCount> expected;
  std::ifstream file("data/tokenizer/testdata/bpe_train/word_counts.jsonl");
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    expected.push_back({*ByteLevelBytes(row[0].get<std::string>()), row[1]});
  }
  std::sort(expected.begin(), expected.end(), [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  ASSERT_EQ(expected.size(), 8452);

  const std::vector<std::string> texts = FixtureTexts();
  ASSERT_EQ(texts.size(), 155);
  const PreTokenizer gpt2 = *PreTokenizer::Create(Gpt2Steps());
  for (const int threads : {1, 3}) {
    WordCounter counter(gpt2);
    ParallelFor(threads, texts.size(), [&](int64_t i) { counter.Add(texts[i]); });
    EXPECT_EQ(*counter.Take(), expected);
    EXPECT_TRUE(counter.Take()->empty());
  }
}

TEST(WordCounterTest, PassesNoBound) {
  const PreTokenizer gpt2 = *PreTokenizer::Create(Gpt2Steps());
  WordCounter counter(gpt2, /*max_bytes=*/64 * 1024);
  for (int i = 0; i < 10000; ++i) counter.Add("word" + std::to_string(i));
  EXPECT_EQ(counter.Take().status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace millrace::data
