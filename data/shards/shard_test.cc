#include "data/shards/shard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace millrace::data {
namespace {

ShardManifest Info(int64_t sequence_length) {
  ShardManifest info;
  info.sequence_length = sequence_length;
  info.strategy = "CONCATENATE";
  info.attend_across_documents = true;
  info.vocab_size = 1000;
  info.eos_id = 0;
  return info;
}

// `count` sequences of 4 predictions; every third is padded. Sources 2 and 5.
std::string WriteSet(int64_t count, int64_t shard_size_bytes, int64_t* shards = nullptr) {
  const std::string folder = *MakeTempDirectory("shards");
  ShardSetWriter writer(folder, Info(4), count, shard_size_bytes);
  for (uint32_t i = 0; i < count; ++i) {
    const std::vector<uint32_t> ids = {i, i + 1, i + 2, i + 3, i + 4};
    const std::vector<uint32_t> starts = i % 2 == 0 ? std::vector<uint32_t>{0, 2} : std::vector<uint32_t>{};
    const std::vector<uint8_t> weights = {1, 1, 0, 0};
    const Sequence sequence = {ids, starts, i % 3 == 2 ? absl::MakeConstSpan(weights) : absl::Span<const uint8_t>(),
                               static_cast<uint16_t>(i < count / 2 ? 2 : 5)};
    EXPECT_TRUE(writer.Append(sequence).ok());
  }
  writer.CountDocuments(2, 7);
  EXPECT_TRUE(writer.Close().ok());
  if (shards != nullptr) *shards = writer.manifest().files.size();
  return folder;
}

TEST(ShardSetTest, ReadsWhatWasWrittenAcrossShards) {
  int64_t shards = 0;
  const std::string folder = WriteSet(20, 300, &shards);
  EXPECT_GT(shards, 2);
  const absl::StatusOr<ShardSet> set = ShardSet::Open(folder);
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_EQ(set->num_sequences(), 20);
  EXPECT_EQ(set->manifest().tokens, 20 * 4 - 6 * 2);
  EXPECT_EQ(set->manifest().padding_tokens, 12);
  ASSERT_EQ(set->manifest().sources.size(), 2);
  EXPECT_EQ(set->manifest().sources[0].source, 2);
  EXPECT_EQ(set->manifest().sources[0].documents, 7);
  EXPECT_EQ(set->manifest().sources[1].sequences, 10);
  for (uint32_t row = 0; row < 20; ++row) {
    const absl::StatusOr<Sequence> sequence = set->Read(row);
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    ASSERT_EQ(sequence->ids.size(), 5);
    EXPECT_EQ(sequence->ids[0], row);
    EXPECT_EQ(sequence->ids[4], row + 4);
    EXPECT_EQ(sequence->document_starts.size(), row % 2 == 0 ? 2 : 0);
    EXPECT_EQ(sequence->source, row < 10 ? 2 : 5);
    EXPECT_EQ(set->source(row), sequence->source);
    ASSERT_EQ(sequence->loss_weights.size(), row % 3 == 2 ? 4 : 0);
    if (row % 3 == 2) {
      EXPECT_EQ(sequence->loss_weights[3], 0);
    }
  }
  EXPECT_EQ(set->Read(20).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(set->Read(-1).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(ShardSetTest, SameSequencesAreSameBytes) {
  EXPECT_EQ(ShardSet::Open(WriteSet(9, 300))->digest(), ShardSet::Open(WriteSet(9, 300))->digest());
  EXPECT_NE(ShardSet::Open(WriteSet(9, 300))->digest(), ShardSet::Open(WriteSet(10, 300))->digest());
}

TEST(ShardSetTest, MayBeEmpty) {
  const absl::StatusOr<ShardSet> set = ShardSet::Open(WriteSet(0, 300));
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->num_sequences(), 0);
}

TEST(ShardSetTest, RefusesDamage) {
  const std::string path = JoinPath(WriteSet(6, 1 << 20), "shard-00000.bin");
  const std::string good = *ReadFile(path);
  std::vector<std::string> bad = {"", good.substr(0, 60), good.substr(0, good.size() - 8), good + "12345678"};
  for (const size_t offset : {0, 8, 12, 16, 20}) {  // magic, version, length, count (low and high)
    bad.push_back(good);
    bad.back()[offset] ^= 0x40;
  }
  const size_t start_ends = 64 + 6 * 5 * 4 + 16;  // ids and sources come before them
  bad.push_back(good);
  bad.back()[start_ends + 1] = 1;
  for (const std::string& bytes : bad) {
    ASSERT_TRUE(WriteFile(path, bytes).ok());
    EXPECT_EQ(Shard::Open(path).status().code(), absl::StatusCode::kDataLoss);
  }
  ASSERT_TRUE(WriteFile(path, good).ok());
  EXPECT_TRUE(Shard::Open(path).ok());
}

TEST(ShardSetTest, RefusesIdsOutsideTheVocabulary) {
  const std::string folder = WriteSet(3, 1 << 20);
  const std::string path = JoinPath(folder, "shard-00000.bin");
  std::string bytes = *ReadFile(path);
  bytes[64 + 2] = 1;  // the first id becomes 65536
  ASSERT_TRUE(WriteFile(path, bytes).ok());
  const absl::StatusOr<ShardSet> set = ShardSet::Open(folder);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->Read(0).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(set->Read(1).ok());
}

TEST(ManifestTest, RefusesAnotherKindAndDamage) {
  const std::string folder = WriteSet(3, 1 << 20);
  const absl::Status other = ReadShardManifest(folder, ShardManifest::Kind::kHeldOut).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(other.message().find("training sequences"), absl::string_view::npos);
  const std::string path = JoinPath(folder, "manifest.json");
  std::string text = *ReadFile(path);
  text.replace(text.find("\"tokens\""), 8, "\"others\"");
  ASSERT_TRUE(WriteFile(path, text).ok());
  EXPECT_EQ(ShardSet::Open(folder).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(WriteFile(path, "{").ok());
  EXPECT_EQ(ShardSet::Open(folder).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ShardSet::Open(folder + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::data
