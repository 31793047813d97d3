// Against what PyTorch computes (testdata/sampler/README.md).
#include "data/shards/sampler.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "data/shards/randperm.h"

namespace millrace::data {
namespace {

using Json = nlohmann::json;

std::vector<Json> Lines(const std::string& name) {
  std::ifstream file("data/shards/testdata/sampler/" + name);
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::string HashOf(const std::vector<int64_t>& values) {
  return Sha256Hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t)});
}

TEST(RandpermTest, IsTorchs) {
  const std::vector<Json> cases = Lines("randperm.jsonl");
  ASSERT_EQ(cases.size(), 95);
  for (const Json& c : cases) {
    const std::vector<int64_t> order = Randperm(c["n"], c["seed"]);
    EXPECT_EQ(HashOf(order), c["sha256"]) << "n " << c["n"] << " seed " << c["seed"];
    if (c.contains("perm")) {
      EXPECT_EQ(order, c["perm"].get<std::vector<int64_t>>());
    }
  }
}

TEST(RandpermTest, NoneAndOne) {
  EXPECT_TRUE(Randperm(0, 1).empty());
  EXPECT_EQ(Randperm(1, 1), std::vector<int64_t>{0});
}

TEST(DistributedSamplerTest, IsTorchs) {
  const std::vector<Json> cases = Lines("sampler.jsonl");
  ASSERT_EQ(cases.size(), 4290);
  for (const Json& c : cases) {
    SamplerOptions options;
    options.dataset_len = c["dataset_len"];
    options.world_size = c["world_size"];
    options.shuffle = c["shuffle"];
    options.seed = c["seed"];
    options.drop_last = c["drop_last"];
    const DistributedSampler sampler(options);
    ASSERT_EQ(sampler.num_samples(), c["num_samples"]) << c;
    ASSERT_EQ(sampler.total_size(), c["total_size"]) << c;
    const std::vector<int64_t> indices = sampler.Indices(c["rank"], c["epoch"]);
    ASSERT_EQ(HashOf(indices), c["sha256"]) << c;
    if (c.contains("indices")) {
      ASSERT_EQ(indices, c["indices"].get<std::vector<int64_t>>()) << c;
    }
  }
}

}  // namespace
}  // namespace millrace::data
