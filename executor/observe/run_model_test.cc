#include "executor/observe/run_model.h"

#include "executor/observe/sample_run.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

RunModel Folded(const std::vector<RunEvent>& events) {
  RunModel model;
  for (const RunEvent& event : events) model.Apply(event);
  return model;
}

TEST(RunModelTest, FoldsAWholeRun) {
  const RunModel model = Folded(SampleWholeRun());
  EXPECT_EQ(model.Count(COMPLETE), 5);
  EXPECT_EQ(model.Count(CACHED), 2);
  EXPECT_EQ(model.Count(WAITING), 0);
  ASSERT_TRUE(model.finished());
  const StageView* train = model.Find("pretrain");
  ASSERT_NE(train, nullptr);
  EXPECT_EQ(train->curves.at("loss").step.size(), 200);
  EXPECT_NEAR(train->DurationSeconds(), 150.2, 1e-6);
  EXPECT_EQ(train->FindMetric("parameters"), 933'000);
  EXPECT_NEAR(model.Find("web_en")->DurationSeconds(), 0.4, 1e-9) << "of a cached stage: of the run that made it";
  EXPECT_EQ(model.Find("unique")->examples.size(), 2);
  EXPECT_EQ(model.Find("nothing"), nullptr);
}

TEST(RunModelTest, ALogThatBreaksOffGivesTheRunSoFar) {
  std::vector<RunEvent> events = SampleWholeRun();
  events.resize(7);
  const RunModel model = Folded(events);
  EXPECT_FALSE(model.finished());
  EXPECT_EQ(model.Count(COMPLETE), 1);
  EXPECT_EQ(model.Count(RUNNING), 1);
}

TEST(RunModelTest, StepsThatComeAgainReplaceTheOldOnes) {
  RunModel model = Folded({SampleStarted(), SampleState(1, "pretrain", RUNNING)});
  for (int64_t step : {10, 20, 30}) model.Apply(SampleMetric(2, "pretrain", "loss", 5.0, step));
  for (int64_t step : {20, 40}) model.Apply(SampleMetric(3, "pretrain", "loss", 4.0, step));
  const CurveView& loss = model.Find("pretrain")->curves.at("loss");
  EXPECT_EQ(loss.step, (std::vector<int64_t>{10, 20, 40}));
  EXPECT_EQ(loss.value, (std::vector<double>{5.0, 4.0, 4.0}));
}

TEST(RunModelTest, CachedStagesTakeTimesFromTheRunThatMadeThem) {
  const RunModel origin = Folded(SampleWholeRun());
  RunModel model = Folded({SampleStarted(), SampleComplete(0.1, "pretrain", CACHED, {}, 150)});
  EXPECT_EQ(model.Find("pretrain")->curves.count("time.tokens_per_second"), 0);
  model.AdoptTimes("pretrain", origin);
  EXPECT_EQ(model.Find("pretrain")->curves.at("time.tokens_per_second").step.size(), 200);
}

TEST(RunModelTest, ANewAttemptStartsItsProgressAfresh) {
  RunModel model = Folded({SampleStarted(), SampleState(1, "unique", RUNNING),
                           SampleProgress(2, "unique", 100, 200, "documents"), SampleState(3, "unique", RUNNING)});
  EXPECT_FALSE(model.Find("unique")->progress);
  EXPECT_TRUE(model.Find("unique")->recent.empty());
  EXPECT_EQ(model.Find("unique")->first_started_micros, kSampleStartMicros + 1'000'000);
}

TEST(RunModelTest, UnknownStagesAreIgnored) {
  const RunModel model = Folded({SampleStarted(), SampleState(1, "nothing", RUNNING)});
  EXPECT_EQ(model.Count(RUNNING), 0);
}

}  // namespace
}  // namespace millrace
