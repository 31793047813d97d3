#include "data/tokenizer/bpe_model.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>

namespace millrace::data {
namespace {

BpeVocabulary Bytes() {
  BpeVocabulary vocabulary;
  for (uint32_t byte = 0; byte < 256; ++byte) vocabulary.byte_ids[byte] = 1000 + byte;
  return vocabulary;
}

// The definition, without any cleverness.
std::vector<uint32_t> MergePlainly(const BpeVocabulary& vocabulary, const std::string& piece) {
  std::map<std::pair<uint32_t, uint32_t>, size_t> ranks;
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank)
    ranks[{vocabulary.merges[rank].left, vocabulary.merges[rank].right}] = rank;
  std::vector<uint32_t> ids;
  for (const char byte : piece) ids.push_back(vocabulary.byte_ids[static_cast<uint8_t>(byte)]);
  while (true) {
    size_t best = vocabulary.merges.size();
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto it = ranks.find({ids[i], ids[i + 1]});
      if (it != ranks.end() && it->second < best) {
        best = it->second;
        at = i;
      }
    }
    if (best == vocabulary.merges.size()) return ids;
    ids[at] = vocabulary.merges[best].result;
    ids.erase(ids.begin() + at + 1);
  }
}

std::vector<uint32_t> AppendedIds(const BpeModel& model, const std::string& piece) {
  BpeModel::Scratch scratch;
  IdBuffer ids;
  model.AppendIds(piece, scratch, ids);
  return std::vector<uint32_t>(ids.data(), ids.data() + ids.size());
}

// Random merges over a few letters. `regular`: each token has one merge, whose parts come before it.
BpeVocabulary RandomVocabulary(std::mt19937& random, const std::string& letters, bool regular, int most_merges = 60) {
  BpeVocabulary vocabulary = Bytes();
  std::vector<std::pair<std::string, uint32_t>> tokens;
  std::map<std::string, uint32_t> id_of;
  for (const char letter : letters) {
    tokens.emplace_back(std::string(1, letter), vocabulary.byte_ids[static_cast<uint8_t>(letter)]);
    id_of.insert(tokens.back());
  }
  std::map<std::pair<uint32_t, uint32_t>, bool> used;
  const int merges = random() % most_merges;
  for (int i = 0; i < merges; ++i) {
    const auto& [left, left_id] = tokens[random() % tokens.size()];
    const auto& [right, right_id] = tokens[random() % tokens.size()];
    if (left.size() + right.size() > 12 || used[{left_id, right_id}]) continue;
    const std::string bytes = left + right;
    if (id_of.contains(bytes) && regular) continue;
    used[{left_id, right_id}] = true;
    const auto [it, inserted] = id_of.emplace(bytes, 5000 - id_of.size());
    vocabulary.merges.push_back({left_id, right_id, it->second});
    if (inserted) tokens.push_back(*it);
  }
  if (!regular) std::shuffle(vocabulary.merges.begin(), vocabulary.merges.end(), random);
  return vocabulary;
}

TEST(BpeModelTest, AllThreeWaysAgree) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    const std::string letters = std::string("ab\xE4\xB8\0c", 6).substr(0, 1 + random() % 6);
    const BpeVocabulary vocabulary = RandomVocabulary(random, letters, seed % 2 == 0);
    const absl::StatusOr<BpeModel> model = BpeModel::Create(vocabulary);
    ASSERT_TRUE(model.ok()) << model.status();
    for (int round = 0; round < 40; ++round) {
      std::string piece;
      const int length = 1 + random() % 40;
      for (int i = 0; i < length; ++i) piece += letters[random() % letters.size()];
      const std::vector<uint32_t> expected = MergePlainly(vocabulary, piece);
      ASSERT_EQ(model->MergeBytes(piece), expected) << "seed " << seed;
      ASSERT_EQ(AppendedIds(*model, piece), expected) << "seed " << seed;
    }
  }
}

// Characters of three bytes that have bytes in common, with merges of whole ones, of their pieces and across them.
TEST(BpeModelTest, AllThreeWaysAgreeOnCharactersOfThreeBytes) {
  const std::string kCharacters[] = {"\xE4\xB8\xAD", "\xE4\xB8\xB8", "\xE4\xAD\xB8", "\xE5\xB8\xAD", "a"};
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    const BpeVocabulary vocabulary = RandomVocabulary(random, "\xE4\xB8\xAD\xE5", true, 20 << seed % 5);
    const absl::StatusOr<BpeModel> model = BpeModel::Create(vocabulary);
    ASSERT_TRUE(model.ok()) << model.status();
    for (int round = 0; round < 40; ++round) {
      std::string piece;
      const int length = 1 + random() % 20;
      for (int i = 0; i < length; ++i) piece += kCharacters[random() % std::size(kCharacters)];
      ASSERT_EQ(AppendedIds(*model, piece), MergePlainly(vocabulary, piece)) << "seed " << seed;
    }
  }
}

TEST(BpeModelTest, NoMerges) {
  const BpeModel model = *BpeModel::Create(Bytes());
  EXPECT_EQ(AppendedIds(model, "ab"), (std::vector<uint32_t>{1000 + 'a', 1000 + 'b'}));
}

TEST(BpeModelTest, AMergeOfWhatNeverOccursIsIdle) {
  BpeVocabulary vocabulary = Bytes();
  vocabulary.merges.push_back({1000 + 'a', 77, 78});  // 77 is no byte and no result
  vocabulary.merges.push_back({1000 + 'a', 1000 + 'b', 79});
  const BpeModel model = *BpeModel::Create(vocabulary);
  EXPECT_EQ(AppendedIds(model, "aab"), (std::vector<uint32_t>{1000 + 'a', 79}));
}

TEST(BpeModelTest, RefusesContradictions) {
  BpeVocabulary vocabulary = Bytes();
  vocabulary.merges.push_back({1000 + 'a', 1000 + 'b', 1});
  vocabulary.merges.push_back({1000 + 'a', 1000 + 'b', 2});
  EXPECT_EQ(BpeModel::Create(vocabulary).status().message(), "merges 0 and 1 are the same");
  vocabulary = Bytes();
  vocabulary.byte_ids[5] = 1006;
  EXPECT_EQ(BpeModel::Create(vocabulary).status().message(), "two bytes have the id 1006");
}

TEST(BpeModelTest, TimeIsLinear) {
  // Tokens a, aa, aaa... of odd lengths, and b, so that much is tried in vain; quadratic time would take minutes.
  BpeVocabulary vocabulary = Bytes();
  uint32_t a = 1000 + 'a';
  uint32_t id = 1;
  std::vector<uint32_t> lengths = {a};
  for (int i = 0; i < 20; ++i) {
    vocabulary.merges.push_back({lengths.back(), a, id});
    lengths.push_back(id++);
  }
  vocabulary.merges.push_back({lengths[10], 1000 + 'b', id});
  const BpeModel model = *BpeModel::Create(vocabulary);
  std::string piece(500'000, 'a');
  for (size_t i = 0; i < piece.size(); i += 997) piece[i] = 'b';
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<uint32_t> ids = AppendedIds(model, piece);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(ids, model.MergeBytes(piece));
}

}  // namespace
}  // namespace millrace::data
