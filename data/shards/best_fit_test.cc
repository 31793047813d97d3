#include "data/shards/best_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace millrace::data {
namespace {

// The same rule, bin by bin.
std::vector<uint32_t> Reference(const std::vector<uint32_t>& sizes, uint32_t capacity) {
  std::vector<uint32_t> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return sizes[a] > sizes[b]; });
  std::vector<uint32_t> room, bin_of(sizes.size());
  std::vector<int> last_change;  // the bin that came to its room last is taken first
  int time = 0;
  for (const uint32_t item : order) {
    int best = -1;
    for (size_t bin = 0; bin < room.size(); ++bin) {
      if (room[bin] < sizes[item]) continue;
      if (best < 0 || room[bin] < room[best] || (room[bin] == room[best] && last_change[bin] > last_change[best]))
        best = bin;
    }
    if (best < 0) {
      best = room.size();
      room.push_back(capacity);
      last_change.push_back(0);
    }
    room[best] -= sizes[item];
    last_change[best] = ++time;
    bin_of[item] = best;
  }
  return bin_of;
}

TEST(BestFitDecreasingTest, IsTheRuleOnRandomItems) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const uint32_t capacity = 1 + random() % 40;
    std::vector<uint32_t> sizes(random() % 60);
    for (uint32_t& size : sizes) size = 1 + random() % capacity;
    uint32_t num_bins = 0;
    const std::vector<uint32_t> bins = BestFitDecreasing(sizes, capacity, &num_bins);
    EXPECT_EQ(bins, Reference(sizes, capacity)) << "round " << round;
    std::vector<uint32_t> used(num_bins, 0);
    for (size_t i = 0; i < sizes.size(); ++i) used[bins[i]] += sizes[i];
    for (const uint32_t size : used) {
      EXPECT_GT(size, 0);
      EXPECT_LE(size, capacity);
    }
  }
}

TEST(BestFitDecreasingTest, FillsBinsThatFirstFitWouldLeaveOpen) {
  uint32_t num_bins = 0;
  EXPECT_EQ(BestFitDecreasing({6, 5, 5, 4}, 10, &num_bins), (std::vector<uint32_t>{0, 1, 1, 0}));
  EXPECT_EQ(num_bins, 2);
  EXPECT_TRUE(BestFitDecreasing({}, 10, &num_bins).empty());
  EXPECT_EQ(num_bins, 0);
}

}  // namespace
}  // namespace millrace::data
