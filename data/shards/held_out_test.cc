#include "data/shards/held_out.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "base/file.h"

namespace millrace::data {
namespace {

std::string WriteSet(int64_t shard_size_bytes) {
  const std::string folder = *MakeTempDirectory("held_out");
  ShardManifest info;
  info.sequence_length = 4;
  info.vocab_size = 100;
  info.eos_id = 0;
  HeldOutWriter writer(folder, info, shard_size_bytes);
  std::vector<std::vector<uint32_t>> ids;
  for (uint32_t i = 0; i < 6; ++i) ids.emplace_back(i * 2, i + 1);
  for (uint32_t i = 0; i < 6; ++i)
    EXPECT_TRUE(writer.Append({ids[i], i / 3, 10 + i, Sha256Of(std::string(1, 'a' + i))}).ok());
  EXPECT_TRUE(writer.Close().ok());
  return folder;
}

TEST(HeldOutSetTest, ReadsWhatWasWrittenAcrossFiles) {
  for (const int64_t size : {1, 200, 1 << 20}) {
    const absl::StatusOr<HeldOutSet> set = HeldOutSet::Open(WriteSet(size));
    ASSERT_TRUE(set.ok()) << set.status();
    ASSERT_EQ(set->num_documents(), 6);
    EXPECT_EQ(set->manifest().text_bytes, 75);
    EXPECT_EQ(set->manifest().sources[1].documents, 3);
    EXPECT_EQ(set->manifest().sources[1].tokens, 6 + 8 + 10);
    for (uint32_t i = 0; i < 6; ++i) {
      const HeldOutDocument document = set->document(i);
      EXPECT_EQ(document.ids, std::vector<uint32_t>(i * 2, i + 1));
      EXPECT_EQ(document.source, i / 3);
      EXPECT_EQ(document.text_bytes, 10 + i);
      EXPECT_EQ(document.text_sha256, Sha256Of(std::string(1, 'a' + i)));
    }
  }
}

TEST(HeldOutSetTest, RefusesDamage) {
  const std::string folder = WriteSet(1 << 20);
  const std::string path = JoinPath(folder, "held-out-00000.bin");
  const std::string good = *ReadFile(path);
  std::vector<std::string> bad = {"", good.substr(0, good.size() - 4), good + "1234"};
  for (const size_t offset : {0, 8, 12, 16, 24, 64 + 56 + 8}) {
    bad.push_back(good);
    bad.back()[offset] ^= 0x40;
  }
  bad.push_back(good);
  bad.back()[good.size() - 1] = 1;  // an id of 2^24
  for (const std::string& bytes : bad) {
    ASSERT_TRUE(WriteFile(path, bytes).ok());
    EXPECT_EQ(HeldOutSet::Open(folder).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(WindowsTest, PredictEachIdAndTheEndOnce) {
  EXPECT_EQ(DocumentWindows(0, 4), (std::vector<std::pair<int64_t, int64_t>>{{0, 1}}));
  EXPECT_EQ(DocumentWindows(3, 4), (std::vector<std::pair<int64_t, int64_t>>{{0, 4}}));
  EXPECT_EQ(DocumentWindows(4, 4), (std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {4, 1}}));
  std::vector<uint32_t> ids(10);
  std::iota(ids.begin(), ids.end(), 1);
  const HeldOutDocument document = {ids, 0, 0, {}};
  std::vector<uint32_t> predicted;
  for (const auto& [first, count] : DocumentWindows(10, 4)) {
    const std::vector<uint32_t> window = WindowIds(document, 0, first, count);
    ASSERT_EQ(window.size(), count + 1);
    EXPECT_EQ(window[0], first);  // the context: 0 is the end-of-text id, then the ids themselves
    predicted.insert(predicted.end(), window.begin() + 1, window.end());
  }
  ids.push_back(0);
  EXPECT_EQ(predicted, ids);
}

}  // namespace
}  // namespace millrace::data
