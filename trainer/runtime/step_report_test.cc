#include "trainer/runtime/step_report.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

TEST(StepReportTest, SumsOverRanks) {
  std::vector<int64_t> a(5), b(5);
  StepReport first(absl::MakeSpan(a)), second(absl::MakeSpan(b));
  EXPECT_TRUE(first.AddLoss(1000.5f, 3));
  EXPECT_TRUE(first.AddLoss(0.25f, 3));
  EXPECT_TRUE(second.AddLoss(2.25f, 3));
  second.SetInterrupted();
  second.SetCheckpointWanted();
  for (int i = 0; i < 5; ++i) a[i] += b[i];
  EXPECT_EQ(first.loss_sum(), 1003.0);
  EXPECT_TRUE(first.interrupted());
  EXPECT_TRUE(first.checkpoint_wanted());
  EXPECT_EQ(first.ToStatus(1, {}), absl::OkStatus());
}

TEST(StepReportTest, NamesRankAndTensor) {
  std::vector<int64_t> a(6);
  StepReport report(absl::MakeSpan(a));
  report.SetBadTensor(2, 1);
  report.SetBadTensor(2, 0);
  const absl::Status status = report.ToStatus(17, {"embed", "norm"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("step 17: the gradient of \"norm\" is not finite or out of range (rank 2)"));
  report.SetBadLoss(0);
  EXPECT_THAT(std::string(report.ToStatus(17, {"embed", "norm"}).message()), HasSubstr("step 17: the loss is not"));
}

TEST(StepReportTest, LossOutOfRange) {
  std::vector<int64_t> a(4);
  StepReport report(absl::MakeSpan(a));
  EXPECT_FALSE(report.AddLoss(std::nanf(""), 1));
  EXPECT_FALSE(report.AddLoss(std::numeric_limits<float>::infinity(), 1));
  EXPECT_FALSE(report.AddLoss(4e9f, 2));
  EXPECT_TRUE(report.AddLoss(4e9f, 1));
}

}  // namespace
}  // namespace millrace::trainer
