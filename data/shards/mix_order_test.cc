#include "data/shards/mix_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace millrace::data {
namespace {

constexpr int64_t kMany = int64_t{1} << 40;

std::vector<MixComponent> Endless(const std::vector<double>& weights) {
  std::vector<MixComponent> components;
  for (const double weight : weights) components.push_back({weight, kMany, 1});
  return components;
}

std::vector<uint32_t> First(int64_t n, std::vector<MixComponent> components, Mix::Exhausted when_exhausted) {
  MixOrder order(std::move(components), when_exhausted);
  std::vector<uint32_t> taken;
  while (static_cast<int64_t>(taken.size()) < n) {
    const auto position = order.Next();
    if (!position.has_value()) break;
    taken.push_back(position->component);
  }
  return taken;
}

// |times taken - n w| <= 1 - 1/(2k-2) after every n, for random weights.
TEST(MixOrderTest, SharesAreExactOverEveryPrefix) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    const int k = 1 + random() % 12;
    std::vector<double> weights(k);
    double sum = 0;
    for (double& weight : weights) sum += weight = round % 3 == 0 ? std::pow(2.0, -int(random() % 12)) : random() + 1.0;
    for (double& weight : weights) weight /= sum;
    MixOrder order(Endless(weights), Mix::REPEAT);
    std::vector<int64_t> taken(k, 0);
    const double bound = k == 1 ? 1e-9 : 1 - 1.0 / (2 * k - 2) + 1e-9;
    for (int64_t n = 1; n <= 3000; ++n) {
      const auto position = order.Next();
      ASSERT_TRUE(position.has_value());
      ASSERT_EQ(position->nth, taken[position->component]++);
      for (int i = 0; i < k; ++i)
        ASSERT_LE(std::abs(taken[i] - n * weights[i]), bound)
            << "round " << round << " component " << i << " of " << k << " after " << n;
    }
  }
}

TEST(MixOrderTest, LooksAsOneWouldWish) {
  EXPECT_EQ(First(8, Endless({0.5, 0.25, 0.25}), Mix::REPEAT), (std::vector<uint32_t>{0, 1, 2, 0, 0, 1, 2, 0}));
  EXPECT_EQ(First(5, Endless({0, 1}), Mix::REPEAT), (std::vector<uint32_t>(5, 1)));
  EXPECT_TRUE(First(5, {}, Mix::REPEAT).empty());
}

TEST(MixOrderTest, RaisingALimitChangesNoEarlierPosition) {
  const auto with_epochs = [](double epochs) {
    return First(100000, {{0.6, 70, epochs}, {0.3, 100, epochs}, {0.1, 1000, epochs}}, Mix::REPEAT);
  };
  const std::vector<uint32_t> one = with_epochs(1), four = with_epochs(4.5);
  EXPECT_GT(one.size(), 110);
  EXPECT_GT(four.size(), 4 * one.size());
  EXPECT_TRUE(std::equal(one.begin(), one.end(), four.begin()));
}

TEST(MixOrderTest, RepeatEndsBeforeMaxEpochsWouldBePassed) {
  MixOrder order({{0.5, 10, 2.5}, {0.5, 1000, 1}}, Mix::REPEAT);
  int64_t positions = 0, taken = 0;
  while (const auto position = order.Next()) {
    ++positions;
    if (position->component == 0) taken = position->nth + 1;
  }
  EXPECT_EQ(taken, 25);
  EXPECT_NEAR(positions, 50, 1);
  EXPECT_EQ(order.ended_by(), 0);
  EXPECT_FALSE(order.Next().has_value());
}

TEST(MixOrderTest, StopEndsAfterOneEpochOfAny) {
  MixOrder order({{0.5, 10, 4}, {0.5, 1000, 4}}, Mix::STOP);
  int64_t positions = 0;
  while (order.Next()) ++positions;
  EXPECT_NEAR(positions, 20, 1);
  EXPECT_EQ(order.ended_by(), 0);
}

TEST(MixOrderTest, RedistributeUsesEverythingUpAndKeepsProportions) {
  const std::vector<MixComponent> components = {{0.5, 100, 4}, {0.3, 600, 4}, {0.2, 1000, 4}};
  MixOrder order(components, Mix::REDISTRIBUTE);
  std::vector<int64_t> taken(3, 0), since(3, 0);
  int64_t n = 0, phase = 0;
  while (const auto position = order.Next()) {
    ++n, ++phase;
    ++taken[position->component];
    ++since[position->component];
    if (taken[0] == 100 && phase == n) since = {0, 0, 0}, phase = 0;  // 0 is used up: 3 : 2 from here on
    if (phase < n && taken[1] < 600) {
      ASSERT_LE(std::abs(since[1] - phase * 0.6), 0.5 + 1e-9);
    }
  }
  EXPECT_EQ(taken, (std::vector<int64_t>{100, 600, 1000}));
  EXPECT_FALSE(order.ended_by().has_value());
}

TEST(MixComponentTest, LimitIsWholeSequences) {
  EXPECT_EQ((MixComponent{1, 10, 0.7}.limit(Mix::REPEAT)), 7);
  EXPECT_EQ((MixComponent{1, 10, 0.25}.limit(Mix::REPEAT)), 2);
  EXPECT_EQ((MixComponent{1, 10, 3}.limit(Mix::REPEAT)), 30);
  EXPECT_EQ((MixComponent{1, 10, 3}.limit(Mix::STOP)), 10);
  EXPECT_EQ((MixComponent{1, 10, 0.5}.limit(Mix::REDISTRIBUTE)), 5);
  EXPECT_EQ((MixComponent{1, 10, 1e30}.limit(Mix::REPEAT)), int64_t{1'000'000'000'000'000'000});
}

}  // namespace
}  // namespace millrace::data
