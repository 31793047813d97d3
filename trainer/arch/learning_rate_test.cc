#include "trainer/arch/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "google/protobuf/text_format.h"

namespace millrace::trainer {
namespace {

LearningRateSchedule Schedule(const std::string& text) {
  LearningRateSchedule schedule;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &schedule));
  return schedule;
}

double FactorAt(const std::string& text, int64_t step, int64_t total) {
  return LearningRateAt(Schedule(text), 1.0, step, total, 1024);
}

TEST(LearningRateTest, WarmsUpLinearly) {
  const std::string text = "warmup_steps: 4 cosine {}";
  EXPECT_EQ(FactorAt(text, 1, 100), 0.25);
  EXPECT_EQ(FactorAt(text, 4, 100), 1);
  EXPECT_LT(FactorAt(text, 5, 100), 1);
  EXPECT_EQ(FactorAt("", 1, 100), 1);
  EXPECT_EQ(LearningRateAt(Schedule("warmup_steps: 95 multi_step {}"), 4e-3, 1, 2363, 1024), 4e-3 * (1.0 / 95));
}

TEST(LearningRateTest, MultiStepHoldsFromTheStepThatBeginsThere) {
  const std::string text =
      "multi_step { milestone { at_fraction: 0.8 factor: 0.316 } milestone { at_fraction: 0.9 factor: 0.1 } }";
  EXPECT_EQ(FactorAt(text, 8, 10), 1);
  EXPECT_EQ(FactorAt(text, 9, 10), 0.316);
  EXPECT_EQ(FactorAt(text, 10, 10), 0.1);
  EXPECT_EQ(FactorAt(text, 1890, 2363), 1);  // 0.8 x 2363 = 1890.4
  EXPECT_EQ(FactorAt(text, 1891, 2363), 1);
  EXPECT_EQ(FactorAt(text, 1892, 2363), 0.316);
}

TEST(LearningRateTest, MilestonesByTokensDoNotMoveWithTheBudget) {
  const std::string text = "multi_step { milestone { at_tokens: \"4096\" factor: 0.5 } }";
  for (const int64_t total : {10, 1000}) {
    EXPECT_EQ(FactorAt(text, 4, total), 1);
    EXPECT_EQ(FactorAt(text, 5, total), 0.5);
  }
}

TEST(LearningRateTest, FactorsAreOfThePeakInAnyOrder) {
  const std::string text =
      "multi_step { milestone { at_fraction: 0.9 factor: 0.1 } milestone { at_fraction: 0.5 factor: 0.3 } }";
  EXPECT_EQ(FactorAt(text, 6, 10), 0.3);
  EXPECT_EQ(FactorAt(text, 10, 10), 0.1);
}

TEST(LearningRateTest, CosineIsThatOfTheLibrary) {
  const double kPi = std::acos(-1.0);
  for (int64_t step = 11; step <= 1000; ++step) {
    const double expected = 0.1 + 0.9 * (1 + std::cos(kPi * (step - 10) / 990.0)) / 2;
    EXPECT_NEAR(FactorAt("warmup_steps: 10 cosine { min_factor: 0.1 }", step, 1000), expected, 4e-16 * 4);
  }
  EXPECT_EQ(FactorAt("cosine { min_factor: 0.1 }", 1000, 1000), 0.1);
}

TEST(LearningRateTest, WsdDecaysOverTheLastSteps) {
  const std::string text = "wsd { decay_fraction: 0.1 min_factor: 0.2 }";
  EXPECT_EQ(FactorAt(text, 90, 100), 1);
  EXPECT_DOUBLE_EQ(FactorAt(text, 95, 100), 0.6);
  EXPECT_EQ(FactorAt(text, 100, 100), 0.2);
}

TEST(ValidateScheduleTest, RefusesWhatCannotBe) {
  EXPECT_TRUE(ValidateSchedule(Schedule("warmup_steps: 10 cosine {}")).ok());
  EXPECT_FALSE(ValidateSchedule(Schedule("multi_step { milestone { factor: 1 } }")).ok());
  EXPECT_FALSE(ValidateSchedule(Schedule("multi_step { milestone { at_tokens: \"x\" factor: 1 } }")).ok());
}

TEST(TotalStepsTest, RoundsUpToWholeSteps) {
  Train train;
  train.set_global_batch_size(2304);
  EXPECT_FALSE(TotalSteps(train, 4096).ok());
  train.set_max_tokens("2T");
  EXPECT_EQ(*TotalSteps(train, 4096), 211'928);
  train.set_max_tokens("2000000000000");
  EXPECT_EQ(*TotalSteps(train, 4096), 211'928);
  train.set_global_batch_size(8);
  train.set_max_tokens("2048");
  EXPECT_EQ(*TotalSteps(train, 128), 2);
  train.set_max_tokens("2049");
  EXPECT_EQ(*TotalSteps(train, 128), 3);
  train.set_max_tokens("two");
  EXPECT_FALSE(TotalSteps(train, 128).ok());
  train.set_max_steps(7);
  EXPECT_EQ(*TotalSteps(train, 128), 7);
}

}  // namespace
}  // namespace millrace::trainer
