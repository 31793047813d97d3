#include "trainer/schedule/simulate.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "trainer/schedule/testing.h"

namespace millrace::trainer {
namespace {

MemoryProfile Simulate(const DataParallelInput& input, int rank = 0) {
  const auto schedule = CompileDataParallel(input);
  EXPECT_TRUE(schedule.ok());
  return SimulateMemory(*schedule, rank);
}

TEST(SimulateTest, StatesActivationsAndSums) {
  // One layer, untied: 2520 weights of 4 bytes, 8 bytes of state each.
  const MemoryProfile profile = Simulate(SmallInput(1, false, 1, 1));
  EXPECT_EQ(profile.at_peak_bytes.at(BufferKind::kWeights), 2520 * 4);
  EXPECT_EQ(profile.at_peak_bytes.at(BufferKind::kOptimizerState), 2520 * 8);
  int64_t sum = 0;
  for (const auto& [kind, bytes] : profile.at_peak_bytes) sum += bytes;
  EXPECT_EQ(sum, profile.peak_bytes);
  EXPECT_EQ(profile.live_bytes[profile.peak_instruction], profile.peak_bytes);
  EXPECT_EQ(*std::max_element(profile.live_bytes.begin(), profile.live_bytes.end()), profile.peak_bytes);
}

TEST(SimulateTest, EndsWithPersistentBuffersOnly) {
  const MemoryProfile profile = Simulate(SmallInput(1, false, 2, 3));
  // The last instruction is the release of sums and norm; they live while it runs.
  EXPECT_EQ(profile.live_bytes.back(), 2520 * 4 + 2520 * 8 + 2520 * 8 + ReportElements(2) * 8 + 8);
}

TEST(SimulateTest, MicroBatchCostsAndRecomputationSavesActivations) {
  DataParallelInput input = SmallInput(4, false, 1, 4);
  for (auto& block : input.blocks) block.saved_bytes_per_leaf = 1 << 20;
  const int64_t one_leaf = Simulate(input).peak_bytes;
  input.leaves_per_micro_batch = 4;
  const int64_t four_leaves = Simulate(input).peak_bytes;
  EXPECT_GT(four_leaves, one_leaf + 3 * 6 * (1 << 20) - 50000);
  input.recompute = true;
  // The four of the head, which wait for their backward.
  EXPECT_LT(Simulate(input).peak_bytes, 4.2 * (1 << 20));
}

TEST(SimulateTest, RankWithoutLeavesHoldsStatesAndSums) {
  const MemoryProfile profile = Simulate(SmallInput(1, false, 3, 2), 0);
  EXPECT_EQ(profile.at_peak_bytes.count(BufferKind::kSaved), 0u);
  EXPECT_EQ(profile.at_peak_bytes.at(BufferKind::kGradientSum), 2520 * 8 + ReportElements(3) * 8);
}

}  // namespace
}  // namespace millrace::trainer
