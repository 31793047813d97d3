#include "data/shards/mix.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "data/shards/testing.h"
#include "google/protobuf/text_format.h"

namespace millrace::data {
namespace {

Mix Parameters(const std::string& text) {
  Mix mix;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &mix));
  return mix;
}

struct Built {
  std::string folder;
  absl::StatusOr<MixtureManifest> manifest;
};

Built Build(const std::string& parameters, const std::vector<std::string>& shards, uint64_t seed = 42) {
  Built built;
  built.folder = *MakeTempDirectory("mixture");
  built.manifest = BuildMixture(Parameters(parameters), seed, shards, built.folder, [](int64_t) {});
  return built;
}

std::vector<SequenceRef> OrderOf(const Built& built) {
  EXPECT_TRUE(built.manifest.ok()) << built.manifest.status();
  const absl::StatusOr<Mixture> mixture = Mixture::Open(built.folder);
  EXPECT_TRUE(mixture.ok()) << mixture.status();
  std::vector<SequenceRef> order;
  for (int64_t i = 0; i < mixture->num_positions(); ++i) order.push_back(mixture->at(i));
  return order;
}

constexpr char kTwoSources[] = R"(component { source: "0" weight: 0.75 max_epochs: 3 }
                                  component { source: "2" weight: 0.25 max_epochs: 3 })";

TEST(MixTest, EachEpochHasEachRowOnce) {
  const std::string shards = MakeTestShards({30, 7, 20});
  const std::vector<SequenceRef> order = OrderOf(Build(kTwoSources, {shards, shards}));
  ASSERT_NEAR(order.size(), 120, 1);  // 90 of component 0 end it
  std::vector<std::vector<int64_t>> rows(2);
  for (const SequenceRef& ref : order) rows[ref.row < 37 ? 0 : 1].push_back(ref.row);
  EXPECT_EQ(rows[0].size(), 90);
  std::vector<std::vector<int64_t>> epochs;
  for (int component : {0, 1}) {
    const int64_t size = component == 0 ? 30 : 20, first = component == 0 ? 0 : 37;
    for (size_t begin = 0; begin + size <= rows[component].size(); begin += size) {
      std::vector<int64_t> epoch(rows[component].begin() + begin, rows[component].begin() + begin + size);
      epochs.push_back(epoch);
      std::sort(epoch.begin(), epoch.end());
      for (int64_t i = 0; i < size; ++i) EXPECT_EQ(epoch[i], first + i);
    }
  }
  ASSERT_EQ(epochs.size(), 4);
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST(MixTest, IsAFunctionOfSeedWeightsAndShards) {
  const std::string shards = MakeTestShards({30, 7, 20}), same = MakeTestShards({30, 7, 20});
  const Built a = Build(kTwoSources, {shards, shards}), b = Build(kTwoSources, {same, shards}),
              c = Build(kTwoSources, {shards, shards}, 43);
  EXPECT_EQ(OrderOf(a), OrderOf(b));
  EXPECT_NE(OrderOf(a), OrderOf(c));
  EXPECT_EQ(*ListFiles(a.folder), *ListFiles(b.folder));  // equal shards are one folder, wherever they came from
  const std::vector<std::string> files = *ListFiles(a.folder);
  for (const std::string& file : files)
    EXPECT_EQ(*ReadFile(JoinPath(a.folder, file)), *ReadFile(JoinPath(b.folder, file))) << file;
}

TEST(MixTest, RaisingMaxEpochsChangesNoEarlierPosition) {
  const std::string shards = MakeTestShards({30, 7, 20});
  const std::vector<SequenceRef> three = OrderOf(Build(kTwoSources, {shards, shards}));
  std::string text = kTwoSources;
  text.replace(text.find("max_epochs: 3"), 13, "max_epochs: 9");
  const std::vector<SequenceRef> nine = OrderOf(Build(text, {shards, shards}));
  ASSERT_GT(nine.size(), three.size());
  EXPECT_TRUE(std::equal(three.begin(), three.end(), nine.begin()));
}

TEST(MixTest, SeveralShardsAndAllSources) {
  const std::string a = MakeTestShards({10, 10}), b = MakeTestShards({50}, 1000);
  const Built built = Build("component { weight: 0.5 max_epochs: 1 } component { weight: 0.5 }", {a, b});
  const std::vector<SequenceRef> order = OrderOf(built);
  ASSERT_NEAR(order.size(), 40, 1);
  EXPECT_EQ(built.manifest->ended_by, 0);
  EXPECT_EQ(built.manifest->components[1].shards, 1);
  const Mixture mixture = *Mixture::Open(built.folder);
  for (const SequenceRef& ref : order) {
    const Sequence sequence = *mixture.shards()[ref.folder].Read(ref.row);
    EXPECT_EQ(sequence.ids[0], ref.folder == 0 ? ref.row : 1000 + ref.row);
  }
}

TEST(MixTest, CopiesNothing) {
  const std::string shards = MakeTestShards({30, 7, 20});
  const Built built = Build(kTwoSources, {shards, shards});
  struct stat original, linked;
  ASSERT_EQ(::stat(JoinPath(shards, "shard-00000.bin").c_str(), &original), 0);
  ASSERT_EQ(::stat(JoinPath(built.folder, "shards/0/shard-00000.bin").c_str(), &linked), 0);
  EXPECT_EQ(original.st_ino, linked.st_ino);
  EXPECT_FALSE(FileExists(JoinPath(built.folder, "shards/1")));
}

TEST(MixTest, RefusesWhatCannotBeMixed) {
  const std::string shards = MakeTestShards({30, 7, 20});
  ShardManifest longer = TestShardInfo(), other_eos = TestShardInfo(), crossing = TestShardInfo();
  longer.sequence_length = 8;
  other_eos.eos_id = 9;
  crossing.attend_across_documents = true;
  const std::string half = "component { weight: 0.5 } component { weight: 0.5 }";
  struct Row {
    std::string parameters, second, message;
  };
  const Row rows[] = {
      {"component { weight: 0.5 } component { weight: 0.4 }", shards, "weights sum to 0.9, not 1"},
      {"component { source: \"3\" weight: 1 }", shards, "component 0 has no sequences of source 3"},
      {"component { source: \"web\" weight: 1 }", shards, "source \"web\" is not an ordinal"},
      {half, MakeTestShards({5}, 0, longer), "component 1 has sequence_length 8, component 0 has 4"},
      {half, MakeTestShards({5}, 0, other_eos), "component 1 has eos_id 9, component 0 has 0"},
      {half, MakeTestShards({5}, 0, crossing), "component 1 has attend_across_documents 1"},
  };
  for (const Row& row : rows) {
    const absl::Status status = Build(row.parameters, {shards, row.second}).manifest.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(row.message), absl::string_view::npos) << status;
  }
}

TEST(MixtureTest, RefusesDamage) {
  const std::string shards = MakeTestShards({30, 7, 20});
  const Built built = Build(kTwoSources, {shards, shards});
  const std::string path = JoinPath(built.folder, "order.bin"), good = *ReadFile(path);
  for (const std::string& bytes :
       {std::string(), good.substr(0, good.size() - 8), good + "12345678", "X" + good.substr(1)}) {
    ASSERT_TRUE(WriteFile(path, bytes).ok());
    EXPECT_EQ(Mixture::Open(built.folder).status().code(), absl::StatusCode::kDataLoss);
  }
  ASSERT_TRUE(WriteFile(path, good).ok());
  EXPECT_TRUE(Mixture::Open(built.folder).ok());
  ASSERT_TRUE(WriteFile(JoinPath(built.folder, "manifest.json"), "{}").ok());
  EXPECT_EQ(Mixture::Open(built.folder).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace millrace::data
