#include "data/split/overlap_index.h"

#include <gtest/gtest.h>

#include <random>

namespace millrace::data {
namespace {

TEST(OverlapIndexTest, AgreesWithEveryPair) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    const uint64_t universe = 1 + random() % 300;
    const auto set_of = [&] {
      ShingleSet set(random() % 40);
      // Spread over all 64 bits as hashes are; the same few values again and again.
      for (uint64_t& shingle : set) shingle = (random() % universe) * 0x9e3779b97f4a7c15;
      return set;
    };
    std::vector<ShingleSet> held_out(random() % 50);
    for (ShingleSet& set : held_out) {
      set = set_of();
      MakeSet(set);
    }
    const OverlapIndex index(held_out, 1 + round % 3);
    for (int i = 0; i < 30; ++i) {
      std::vector<uint64_t> shingles = set_of();
      ShingleSet set = shingles;
      MakeSet(set);
      OverlapIndex::Nearest expected;
      for (uint32_t d = 0; d < held_out.size(); ++d) {
        const double jaccard = OverlapOf(set, held_out[d]).jaccard();
        if (jaccard > expected.jaccard) expected = {jaccard, d};
      }
      const OverlapIndex::Nearest nearest = index.FindNearest(shingles);
      EXPECT_EQ(nearest.jaccard, expected.jaccard);
      EXPECT_EQ(nearest.document, expected.document);
    }
  }
}

TEST(OverlapIndexTest, Empty) {
  const OverlapIndex index({}, 1);
  std::vector<uint64_t> shingles = {0, 1, ~uint64_t{0}};
  EXPECT_EQ(index.FindNearest(shingles).jaccard, 0);
}

}  // namespace
}  // namespace millrace::data
