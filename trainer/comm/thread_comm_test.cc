#include "trainer/comm/thread_comm.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/comm/conformance.h"
#include "trainer/comm/scripted_comm.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

TEST(ThreadCommTest, Conformance) {
  for (const int world_size : {1, 2, 3, 7}) {
    for (const absl::Status& status : RunThreadGang(world_size, CommConformance)) EXPECT_EQ(status, absl::OkStatus());
  }
}

TEST(SingleCommTest, Conformance) {
  SingleComm comm;
  EXPECT_EQ(CommConformance(comm), absl::OkStatus());
}

TEST(ThreadCommTest, APeerThatIsGone) {
  const auto statuses = RunThreadGang(3, [](Comm& comm) {
    if (comm.rank() == 1) return absl::AbortedError("rank 1 had enough");
    return comm.Barrier("step 4");
  });
  EXPECT_EQ(statuses[0].code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(statuses[0].message(), "rank 0 of 3: barrier of step 4: rank 1 is gone");
  EXPECT_EQ(statuses[2].code(), absl::StatusCode::kUnavailable);
}

TEST(ThreadCommTest, APeerThatIsSilent) {
  std::vector<std::unique_ptr<Comm>> comms = NewThreadComms(2, absl::Milliseconds(20));
  const absl::Status status = comms[0]->Barrier("x");
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did not come within 20ms"));
}

TEST(ThreadCommTest, RanksThatDisagree) {
  const auto statuses = RunThreadGang(2, [](Comm& comm) {
    std::vector<int64_t> values(comm.rank() + 1);
    return comm.AllReduceSum(absl::MakeSpan(values), "values");
  });
  EXPECT_EQ(statuses[0].code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(statuses[1].message()), HasSubstr("rank 0 is at all-reduce of values (1 elements) while "
                                                            "rank 1 is at all-reduce of values (2 elements)"));
}

TEST(ScriptedCommTest, FailsWhereTold) {
  SingleComm inner;
  ScriptedComm comm(&inner, {{1, absl::UnavailableError("cable pulled")}});
  std::vector<int64_t> values = {1, 2};
  EXPECT_EQ(comm.AllReduceSum(absl::MakeSpan(values), "a"), absl::OkStatus());
  const absl::Status status = comm.Barrier("b");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "rank 0 of 1: barrier of b: cable pulled");
  EXPECT_EQ(comm.calls(), (std::vector<std::string>{"all-reduce a (2)", "barrier b (0)"}));
}

}  // namespace
}  // namespace millrace::trainer
