#include "data/corpus/hash_sample.h"

#include <gtest/gtest.h>

#include <random>

namespace millrace::data {
namespace {

TEST(HashSampleTest, SmallestHashesUntilThereIsEnough) {
  struct Document {
    int hash;
    int64_t bytes;
  };
  const struct {
    int64_t bytes;
    std::vector<Document> documents;
    std::vector<int64_t> taken;
  } kRows[] = {
      {10, {}, {}},
      {10, {{5, 3}}, {0}},
      {10, {{5, 10}, {6, 1}}, {0}},
      {10, {{6, 1}, {5, 10}}, {1}},
      {10, {{6, 9}, {5, 9}, {7, 9}}, {0, 1}},
      {10, {{5, 9}, {5, 9}, {5, 9}}, {0, 1}},  // equal hashes: the first
      {10, {{1, 0}, {2, 0}, {3, 10}, {4, 0}}, {0, 1, 2}},
      {0, {{1, 5}, {2, 5}}, {}},
  };
  for (const auto& row : kRows) {
    HashSample<int> sample(row.bytes);
    for (size_t i = 0; i < row.documents.size(); ++i) sample.Add(row.documents[i].hash, i, row.documents[i].bytes);
    EXPECT_EQ(sample.Take(), row.taken);
  }
}

TEST(HashSampleTest, IsWhatSortingGives) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const int64_t bytes = random() % 3000;
    std::vector<std::tuple<int, int64_t, int64_t>> documents;  // hash, ordinal, bytes
    HashSample<int> sample(bytes);
    for (int64_t i = 0; i < 100; ++i) {
      documents.emplace_back(random() % 80, i, random() % 50);
      sample.Add(std::get<0>(documents.back()), i, std::get<2>(documents.back()));
    }
    std::sort(documents.begin(), documents.end());
    std::vector<int64_t> expected;
    int64_t total = 0;
    for (const auto& [hash, ordinal, size] : documents) {
      if (total >= bytes) break;
      total += size;
      expected.push_back(ordinal);
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(sample.Take(), expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace::data
