// One loss curve and one digest, whatever the layout.
#include "trainer/runtime/step_runner.h"

#include <cmath>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/comm/scripted_comm.h"
#include "trainer/comm/thread_comm.h"
#include "trainer/model/model.h"
#include "trainer/runtime/testing.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kLength = 8;

struct Outcome {
  std::vector<double> losses, norms;
  std::string digest;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << outcome.digest << " loss " << (outcome.losses.empty() ? 0 : outcome.losses.back());
}

struct Layout {
  int ranks = 1;
  int threads = 1;
  int64_t micro_batch = 1;
  int64_t bucket_bytes = int64_t{32} << 20;
  bool recompute = false;
  GradientSum gradient_sum = GradientSum::kInt64;
};

absl::StatusOr<Outcome> Train(Comm& comm, bool tied, int64_t leaves, int64_t steps, const Layout& layout) {
  at::set_num_threads(layout.threads);
  const ModelConfig config = SmallModel(tied);
  const auto model = BuildModel(config, 5, kLength);
  TrainState state(model);
  state.Initialize(3);
  MadeUpLeaves source(leaves, 2, kLength, config.vocab_size);
  StepOptions options{.num_leaves = leaves, .gradient_sum = layout.gradient_sum, .max_grad_norm = 0.5};
  options.leaves_per_micro_batch = layout.micro_batch;
  options.bucket_bytes = layout.bucket_bytes;
  options.recompute = layout.recompute;
  ASSIGN_OR_RETURN(const auto runner, StepRunner::New(model, state, comm, source, options));
  Outcome outcome;
  for (int64_t step = 1; step <= steps; ++step) {
    ASSIGN_OR_RETURN(const StepResult result, runner->RunStep(step, 1e-2, {}));
    outcome.losses.push_back(result.loss);
    outcome.norms.push_back(result.grad_norm);
  }
  outcome.digest = DigestOf(state);
  return outcome;
}

std::vector<Outcome> TrainGang(bool tied, int64_t leaves, int64_t steps, const Layout& layout) {
  std::vector<Outcome> outcomes(layout.ranks);
  const auto statuses = RunThreadGang(layout.ranks, [&](Comm& comm) {
    auto outcome = Train(comm, tied, leaves, steps, layout);
    if (outcome.ok()) outcomes[comm.rank()] = *outcome;
    return outcome.status();
  });
  for (const absl::Status& status : statuses) EXPECT_EQ(status, absl::OkStatus());
  return outcomes;
}

TEST(StepRunnerTest, OneCurveWhateverTheLayout) {
  for (const bool tied : {false, true}) {
    for (const int64_t leaves : {2, 5}) {
      const Outcome reference = TrainGang(tied, leaves, 4, {})[0];
      EXPECT_LT(reference.losses.back(), reference.losses.front() + 0.5);
      for (const int ranks : {1, 2, 3, 4, 7}) {
        for (const int64_t micro_batch : {1, 2, 5}) {
          for (const int64_t bucket_bytes : {int64_t{2000}, int64_t{32} << 20}) {
            Layout layout{.ranks = ranks, .micro_batch = micro_batch, .bucket_bytes = bucket_bytes};
            layout.recompute = micro_batch == 2;
            layout.threads = ranks == 1 && micro_batch == 1 ? 2 : 1;
            for (const Outcome& outcome : TrainGang(tied, leaves, 4, layout))
              EXPECT_EQ(outcome, reference) << ranks << " ranks, micro-batch " << micro_batch;
          }
        }
      }
    }
  }
}

TEST(StepRunnerTest, Float32SumsAreCloseAndRepeatable) {
  const Outcome exact = TrainGang(false, 4, 3, {})[0];
  const Layout layout{.ranks = 2, .gradient_sum = GradientSum::kFloat32};
  const Outcome close = TrainGang(false, 4, 3, layout)[1];
  for (size_t i = 0; i < exact.losses.size(); ++i) EXPECT_NEAR(close.losses[i], exact.losses[i], 1e-4);
  EXPECT_EQ(TrainGang(false, 4, 3, layout)[0], close);
}

TEST(StepRunnerTest, LearnsWhatIsShownAgainAndAgain) {
  at::set_num_threads(1);
  const ModelConfig config = SmallModel(false);
  const auto model = BuildModel(config, 64, kLength);
  TrainState state(model);
  state.Initialize(1);
  MadeUpLeaves source(2, 1, kLength, config.vocab_size);
  SingleComm comm;
  const auto runner = StepRunner::New(model, state, comm, source, {.num_leaves = 2, .weight_decay = 0});
  ASSERT_TRUE(runner.ok()) << runner.status();
  double first = 0, last = 0;
  for (int step = 1; step <= 60; ++step) {
    const auto result = (*runner)->RunStep(1, 1e-2, {});
    ASSERT_TRUE(result.ok()) << result.status();
    (step == 1 ? first : last) = result->loss;
  }
  EXPECT_NEAR(first, std::log(61.0), 1.0);
  EXPECT_LT(last, 0.5);
}

TEST(StepRunnerTest, AGradientOutOfRangeNamesItsTensorOnAllRanks) {
  const auto statuses = RunThreadGang(2, [](Comm& comm) -> absl::Status {
    at::set_num_threads(1);
    const ModelConfig config = SmallModel(false);
    const auto model = BuildModel(config, 64, kLength);
    TrainState state(model);
    state.Initialize(1);
    // Only one rank sees the bad value.
    if (comm.rank() == 1) state.tensors()[state.IndexOf("model.norm.weight")].values[0] = 1e30f;
    const std::string before = DigestOf(state);
    MadeUpLeaves source(2, 1, kLength, config.vocab_size);
    ASSIGN_OR_RETURN(const auto runner, StepRunner::New(model, state, comm, source, {.num_leaves = 2}));
    const absl::Status status = runner->RunStep(1, 1e-2, {}).status();
    if (DigestOf(state) != before) return absl::AbortedError("the state has changed");
    return status;
  });
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is not finite or out of range (rank 1)"));
  }
}

TEST(StepRunnerTest, OneInterruptedRankStopsAll) {
  const auto statuses = RunThreadGang(3, [](Comm& comm) -> absl::Status {
    at::set_num_threads(1);
    const ModelConfig config = SmallModel(false);
    const auto model = BuildModel(config, 64, kLength);
    TrainState state(model);
    state.Initialize(1);
    MadeUpLeaves source(2, 1, kLength, config.vocab_size);
    ASSIGN_OR_RETURN(const auto runner, StepRunner::New(model, state, comm, source, {.num_leaves = 2}));
    for (int step = 1; step <= 3; ++step) {
      // Rank 0 has no leaf.
      ASSIGN_OR_RETURN(const StepResult result,
                       runner->RunStep(step, 1e-2, {.interrupted = step == 2 && comm.rank() == 0}));
      if (result.signals.interrupted != (step == 2)) return absl::AbortedError("ranks do not agree");
    }
    return absl::OkStatus();
  });
  for (const absl::Status& status : statuses) EXPECT_EQ(status, absl::OkStatus());
}

TEST(StepRunnerTest, AFailingCollectiveNamesTheStep) {
  at::set_num_threads(1);
  const ModelConfig config = SmallModel(false);
  const auto model = BuildModel(config, 64, kLength);
  std::vector<std::unique_ptr<Comm>> comms = NewThreadComms(2);
  comms.pop_back();
  ScriptedComm comm(comms[0].get(), {{1, absl::UnavailableError("Connection closed by peer")}});
  TrainState state(model);
  state.Initialize(1);
  MadeUpLeaves source(2, 1, kLength, config.vocab_size);
  const auto runner = StepRunner::New(model, state, comm, source, {.num_leaves = 2, .bucket_bytes = 5000});
  ASSERT_TRUE(runner.ok());
  const absl::Status status = (*runner)->RunStep(12, 1e-2, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("step 12: rank 0 of 2: all-reduce of gradients, bucket 0 of "));
}

TEST(StepRunnerTest, RefusesWhatItCannotRun) {
  const ModelConfig config = SmallModel(false);
  const auto model = BuildModel(config, 64, kLength);
  TrainState state(model);
  MadeUpLeaves source(2, 1, kLength, config.vocab_size);
  SingleComm comm;
  EXPECT_EQ(StepRunner::New(model, state, comm, source, {.zero_stage = 1}).status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace millrace::trainer
