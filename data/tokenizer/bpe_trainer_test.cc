#include "data/tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "base/sha256.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/tokenizer.h"

namespace millrace::data {
namespace {

std::vector<nlohmann::json> Rows(const std::string& name) {
  std::vector<nlohmann::json> rows;
  std::ifstream file("data/tokenizer/testdata/bpe_train/" + name);
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

// The rule of bpe_trainer.h, word by word.
TrainedBpe TrainPlainly(const std::vector<WordCount>& words, uint32_t max_tokens) {
  TrainedBpe trained;
  std::map<char, uint32_t> symbol_of_byte;
  for (const uint8_t byte : BytesInAlphabetOrder()) {
    symbol_of_byte[static_cast<char>(byte)] = trained.tokens.size();
    trained.tokens.emplace_back(1, static_cast<char>(byte));
  }
  std::vector<std::vector<uint32_t>> sequences;
  for (const WordCount& word : words) {
    sequences.emplace_back();
    for (const char byte : word.word) sequences.back().push_back(symbol_of_byte[byte]);
  }
  while (trained.tokens.size() < max_tokens) {
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> counts;
    for (size_t w = 0; w < words.size(); ++w) {
      for (size_t i = 1; i < sequences[w].size(); ++i) counts[{sequences[w][i - 1], sequences[w][i]}] += words[w].count;
    }
    std::pair<uint32_t, uint32_t> best;
    uint64_t best_count = 0;
    for (const auto& [pair, count] : counts) {
      if (count > best_count) {
        best = pair;
        best_count = count;
      }
    }
    if (best_count == 0) break;
    const std::string bytes = trained.tokens[best.first] + trained.tokens[best.second];
    const uint32_t result = std::find(trained.tokens.begin(), trained.tokens.end(), bytes) - trained.tokens.begin();
    if (result == trained.tokens.size()) trained.tokens.push_back(bytes);
    trained.merges.push_back({best.first, best.second, result, best_count});
    for (std::vector<uint32_t>& sequence : sequences) {
      std::vector<uint32_t> merged;
      for (size_t i = 0; i < sequence.size(); ++i) {
        const bool here = i + 1 < sequence.size() && sequence[i] == best.first && sequence[i + 1] == best.second;
        merged.push_back(here ? result : sequence[i]);
        i += here;
      }
      sequence = merged;
    }
  }
  for (size_t w = 0; w < words.size(); ++w) trained.text_ids += words[w].count * sequences[w].size();
  return trained;
}

void ExpectSame(const TrainedBpe& a, const TrainedBpe& b) {
  ASSERT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.merges.size(), b.merges.size());
  for (size_t i = 0; i < a.merges.size(); ++i) {
    ASSERT_EQ(a.merges[i].left, b.merges[i].left) << i;
    ASSERT_EQ(a.merges[i].right, b.merges[i].right) << i;
    ASSERT_EQ(a.merges[i].result, b.merges[i].result) << i;
    ASSERT_EQ(a.merges[i].count, b.merges[i].count) << i;
  }
  ASSERT_EQ(a.text_ids, b.text_ids);
}

TEST(BpeTrainerTest, MergesOfTheFixture) {
  const PreTokenizer gpt2 = *PreTokenizer::Create(Gpt2Steps());
  WordCounter counter(gpt2);
  const std::vector<nlohmann::json> corpus = Rows("corpus.jsonl");
  for (const nlohmann::json& row : corpus) counter.Add(row["text"].get<std::string>());
  std::vector<WordCount> shuffled;
  for (const nlohmann::json& row : Rows("word_counts.jsonl"))
    shuffled.push_back({*ByteLevelBytes(row[0].get<std::string>()), row[1]});

  const std::vector<nlohmann::json> expected = Rows("merges.jsonl");
  ASSERT_EQ(expected.size(), 1792);
  for (const std::vector<WordCount>& words : {shuffled, *counter.Take()}) {
    const absl::StatusOr<TrainedBpe> trained = TrainBpe(words, 2048);
    ASSERT_TRUE(trained.ok()) << trained.status();
    ASSERT_EQ(trained->merges.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const TrainedBpe::Merge& merge = trained->merges[i];
      ASSERT_EQ(merge.left, expected[i]["left"]) << i;
      ASSERT_EQ(merge.right, expected[i]["right"]) << i;
      ASSERT_EQ(merge.result, expected[i]["id"]) << i;
      ASSERT_EQ(merge.count, expected[i]["count"]) << i;
    }
    EXPECT_EQ(trained->text_ids, 106928);

    // The vocabulary of the fixture has no special token: ids as they are.
    TokenizerDefinition definition;
    definition.steps = Gpt2Steps();
    for (uint32_t i = 0; i < 2048; ++i) definition.vocabulary.emplace_back(ByteLevelText(trained->tokens[i]), i);
    for (uint32_t i = 0; i < 256; ++i) definition.bpe.byte_ids[BytesInAlphabetOrder()[i]] = i;
    for (const TrainedBpe::Merge& merge : trained->merges)
      definition.bpe.merges.push_back({merge.left, merge.right, merge.result});
    const Tokenizer tokenizer = *Tokenizer::Create(definition);
    Encoder encoder(tokenizer);
    Sha256 sha;
    for (const nlohmann::json& row : corpus) {
      const absl::Span<const uint32_t> ids = encoder.Encode(row["text"].get<std::string>(), SpecialTokens::kRecognised);
      const uint32_t count = ids.size();
      sha.Update({reinterpret_cast<const char*>(&count), 4});
      sha.Update({reinterpret_cast<const char*>(ids.data()), ids.size() * 4});
    }
    EXPECT_EQ(HexOf(sha.Finish()), "09d1387a7422bf5aab4b7b682d1197508ea35ac3084e2ffa023be8a87bec5a2f");
  }
}

TEST(BpeTrainerTest, AgreesWithThePlainRule) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    std::vector<WordCount> words;
    const int letters = 1 + random() % 4;
    const int num_words = 1 + random() % 40;
    for (int w = 0; w < num_words; ++w) {
      std::string word;
      const int length = random() % 14;
      for (int i = 0; i < length; ++i) word += "ab\xFF "[random() % letters];
      words.push_back({word, 1 + random() % 5});
    }
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    ExpectSame(*TrainBpe(words, 256 + 40), TrainPlainly(words, 256 + 40));
  }
}

TEST(BpeTrainerTest, CountsGoBeyond32Bits) {
  const uint64_t big = uint64_t{1} << 40;
  const TrainedBpe trained = *TrainBpe({{"ab", big}, {"cd", big + 1}, {"", 7}}, 257);
  ASSERT_EQ(trained.merges.size(), 1);
  EXPECT_EQ(trained.tokens[256], "cd");
  EXPECT_EQ(trained.merges[0].count, big + 1);
  EXPECT_EQ(trained.text_ids, big * 3 + 1);
}

TEST(BpeTrainerTest, EndsWhereNoPairIsLeft) {
  const TrainedBpe trained = *TrainBpe({{"aaaa", 1}}, 1000);
  EXPECT_EQ(trained.tokens.size(), 258);  // aa, aaaa
  EXPECT_EQ(trained.text_ids, 1);
  EXPECT_EQ(TrainBpe({}, 1000)->tokens.size(), 256);
}

}  // namespace
}  // namespace millrace::data
