#include "data/dedup/minhash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "data/dedup/shingles.h"

namespace millrace::data {
namespace {

// Two sets with this Jaccard.
std::pair<std::vector<uint64_t>, std::vector<uint64_t>> SetsWith(double jaccard, int size, std::mt19937_64& random) {
  const int both = std::lround(jaccard * size);
  std::vector<uint64_t> a, b;
  for (int i = 0; i < size; ++i) {
    const uint64_t x = random();
    if (i < both) {
      a.push_back(x);
      b.push_back(x);
    } else {
      (i % 2 ? a : b).push_back(x);
    }
  }
  return {a, b};
}

// Values agree as often as the Jaccard says, and independently: the number of agreements has the binomial's spread.
TEST(MinHashTest, EstimatesJaccard) {
  const MinHasher hasher(14, 8);
  std::mt19937_64 random(7);
  for (const double jaccard : {0.2, 0.5, 0.8}) {
    double sum = 0, squares = 0;
    constexpr int kTrials = 400;
    for (int trial = 0; trial < kTrials; ++trial) {
      const auto [a, b] = SetsWith(jaccard, 300, random);
      const std::vector<uint32_t> sa = hasher.Signature(a), sb = hasher.Signature(b);
      ASSERT_EQ(sa.size(), 112);
      int agree = 0;
      for (int i = 0; i < 112; ++i) agree += sa[i] == sb[i];
      sum += agree / 112.0;
      squares += (agree / 112.0) * (agree / 112.0);
    }
    const double mean = sum / kTrials, deviation = std::sqrt(squares / kTrials - mean * mean);
    const double expected = std::sqrt(jaccard * (1 - jaccard) / 112);
    EXPECT_NEAR(mean, jaccard, 4 * expected / std::sqrt(kTrials));
    EXPECT_NEAR(deviation, expected, 0.15 * expected);
  }
}

// The S-curve 1 - (1 - J^rows)^bands.
TEST(MinHashTest, ProposesCandidatesAsPredicted) {
  std::mt19937_64 random(8);
  for (const auto& [bands, rows, jaccard] : {std::tuple{14, 8, 0.7}, {14, 8, 0.8}, {20, 5, 0.5}, {3, 1, 0.2}}) {
    const MinHasher hasher(bands, rows);
    int candidates = 0;
    constexpr int kTrials = 1000;
    for (int trial = 0; trial < kTrials; ++trial) {
      const auto [a, b] = SetsWith(jaccard, 200, random);
      std::vector<uint64_t> ha(bands), hb(bands);
      hasher.BandHashes(a, ha.data());
      hasher.BandHashes(b, hb.data());
      bool candidate = false;
      for (int i = 0; i < bands; ++i) candidate |= ha[i] == hb[i];
      candidates += candidate;
    }
    const double expected = 1 - std::pow(1 - std::pow(jaccard, rows), bands);
    EXPECT_NEAR(candidates / double{kTrials}, expected, 4 * std::sqrt(expected * (1 - expected) / kTrials))
        << bands << "x" << rows << " at " << jaccard;
  }
}

TEST(MinHashTest, OrderAndRepetitionDoNotMatter) {
  const MinHasher hasher(5, 3);
  const std::vector<uint64_t> a = {1, 2, 3, 1ull << 40}, b = {1ull << 40, 3, 3, 1, 2, 1};
  std::vector<uint64_t> ha(5), hb(5);
  hasher.BandHashes(a, ha.data());
  hasher.BandHashes(b, hb.data());
  EXPECT_EQ(ha, hb);
}

// Results are compared across machines and versions: a change here is a change of `dedup`'s semantics_version.
TEST(MinHashTest, Golden) {
  const MinHasher hasher(2, 2);
  std::vector<uint64_t> hashes(2);
  hasher.BandHashes(ShingleSetOf("In the beginning God created the heaven and the earth.", 5), hashes.data());
  EXPECT_EQ(hashes, (std::vector<uint64_t>{7040026044659261991u, 17217006940869427412u}));
}

}  // namespace
}  // namespace millrace::data
