#include "trainer/schedule/data_parallel.h"

#include "base/file.h"
#include "gtest/gtest.h"
#include "trainer/schedule/check.h"
#include "trainer/schedule/testing.h"

namespace millrace::trainer {
namespace {

// Rewritten by running the test's program with --rewrite=trainer/schedule/testdata in the workspace.
std::string rewrite_folder;

void ExpectGolden(const DataParallelInput& input, const std::string& name) {
  const auto schedule = CompileDataParallel(input);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  EXPECT_EQ(CheckSchedule(*schedule), absl::OkStatus());
  if (!rewrite_folder.empty()) {
    ASSERT_TRUE(WriteFile(rewrite_folder + "/" + name, schedule->ToString()).ok());
  }
  const auto golden = ReadFile((rewrite_folder.empty() ? "trainer/schedule/testdata" : rewrite_folder) + "/" + name);
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_EQ(schedule->ToString(), *golden);
}

TEST(DataParallelTest, OneRankTwoLeaves) { ExpectGolden(SmallInput(1, /*tied=*/true, 1, 2), "one_rank.txt"); }

TEST(DataParallelTest, ThreeRanksTwoLeavesInTwoBuckets) {
  DataParallelInput input = SmallInput(1, /*tied=*/false, 3, 2);
  input.bucket_bytes = 10000;
  ExpectGolden(input, "three_ranks_two_leaves.txt");
}

TEST(DataParallelTest, Recompute) {
  DataParallelInput input = SmallInput(1, /*tied=*/false, 1, 2);
  input.recompute = true;
  input.leaves_per_micro_batch = 2;
  ExpectGolden(input, "recompute.txt");
}

TEST(DataParallelTest, EveryLeafOnOneRank) {
  for (int64_t leaves = 1; leaves < 30; ++leaves) {
    for (int ranks = 1; ranks < 10; ++ranks) {
      int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const LeafRange range = LeavesOfRank(leaves, ranks, rank);
        EXPECT_EQ(range.first, next);
        EXPECT_LE(range.last - range.first, (leaves + ranks - 1) / ranks);
        next = range.last;
      }
      EXPECT_EQ(next, leaves);
    }
  }
}

TEST(DataParallelTest, Float32SumsKeepTheReportApart) {
  DataParallelInput input = SmallInput(1, /*tied=*/true, 2, 2);
  input.gradient_sum_bytes = 4;
  const auto schedule = CompileDataParallel(input);
  ASSERT_TRUE(schedule.ok());
  EXPECT_EQ(schedule->buckets.back().units.size(), 1u);
  EXPECT_EQ(CheckSchedule(*schedule), absl::OkStatus());
}

TEST(DataParallelTest, RefusesWhatItCannotRun) {
  DataParallelInput input = SmallInput(1, true, 2, 2);
  input.zero_stage = 2;
  EXPECT_EQ(CompileDataParallel(input).status().code(), absl::StatusCode::kUnimplemented);
  input = SmallInput(1, true, 2, 2);
  input.pipeline_parallel_size = 2;
  EXPECT_EQ(CompileDataParallel(input).status().code(), absl::StatusCode::kUnimplemented);
  input = SmallInput(1, true, 2, 0);
  EXPECT_EQ(CompileDataParallel(input).status().code(), absl::StatusCode::kInvalidArgument);
  input = SmallInput(1, true, 2, 2);
  input.tensors.push_back({"stray", 1});
  EXPECT_EQ(CompileDataParallel(input).status().message(), "no block names \"stray\"");
}

}  // namespace
}  // namespace millrace::trainer

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string flag = "--rewrite=";
  if (argc > 1 && std::string(argv[1]).rfind(flag, 0) == 0)
    millrace::trainer::rewrite_folder = std::string(argv[1]).substr(flag.size());
  return RUN_ALL_TESTS();
}
