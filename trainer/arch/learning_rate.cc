#include "trainer/arch/learning_rate.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Taylor series for |x| <= pi/4, where the first term left out is below 1e-19.
double SmallCos(double x) {
  const double square = x * x;
  double sum = 0;
  for (int k = 16; k > 0; k -= 2) sum = (1 + sum) * (-square / (k * (k - 1)));
  return 1 + sum;
}

double SmallSin(double x) {
  const double square = x * x;
  double sum = 0;
  for (int k = 17; k > 1; k -= 2) sum = (1 + sum) * (-square / (k * (k - 1)));
  return x * (1 + sum);
}

// cos(pi p) for 0 <= p <= 1.
double CosPi(double p) {
  if (p > 0.5) return -CosPi(1 - p);
  return p > 0.25 ? SmallSin(kPi * (0.5 - p)) : SmallCos(kPi * p);
}

double MultiStepFactor(const LearningRateSchedule::MultiStep& shape, int64_t step, int64_t total_steps,
                       int64_t tokens_per_step) {
  double factor = 1;
  int64_t latest = 0;
  for (const LearningRateSchedule::Milestone& milestone : shape.milestone()) {
    const int64_t first = FirstStepOf(milestone, total_steps, tokens_per_step);
    if (step >= first && first >= latest) {
      latest = first;
      factor = milestone.factor();
    }
  }
  return factor;
}

double CosineFactor(const LearningRateSchedule::Cosine& shape, int64_t step, int64_t warmup, int64_t total) {
  if (step >= total) return shape.min_factor();
  const double progress = static_cast<double>(step - warmup) / static_cast<double>(total - warmup);
  return shape.min_factor() + (1 - shape.min_factor()) * ((1 + CosPi(progress)) / 2);
}

double WsdFactor(const LearningRateSchedule::WarmupStableDecay& shape, int64_t step, int64_t total) {
  const int64_t decay_steps = std::llround(shape.decay_fraction() * static_cast<double>(total));
  const int64_t into_decay = step - (total - decay_steps);
  if (into_decay <= 0) return 1;
  if (step >= total) return shape.min_factor();
  return 1 - (1 - shape.min_factor()) * (static_cast<double>(into_decay) / static_cast<double>(decay_steps));
}

}  // namespace

int64_t FirstStepOf(const LearningRateSchedule::Milestone& milestone, int64_t total_steps, int64_t tokens_per_step) {
  int64_t steps_done = 0;
  if (milestone.has_at_tokens()) {
    const int64_t tokens = ParseTokens(milestone.at_tokens()).value_or(0);
    steps_done = (tokens + tokens_per_step - 1) / tokens_per_step;
  } else {
    // 0.9 x 10 must be 9 although 0.9 is not a binary fraction.
    steps_done = static_cast<int64_t>(std::ceil(milestone.at_fraction() * static_cast<double>(total_steps) - 1e-6));
  }
  return steps_done + 1;
}

double LearningRateAt(const LearningRateSchedule& schedule, double peak, int64_t step, int64_t total_steps,
                      int64_t tokens_per_step) {
  const int64_t warmup = schedule.warmup_steps();
  if (step <= warmup) return peak * (static_cast<double>(step) / static_cast<double>(warmup));
  switch (schedule.shape_case()) {
    case LearningRateSchedule::kMultiStep:
      return peak * MultiStepFactor(schedule.multi_step(), step, total_steps, tokens_per_step);
    case LearningRateSchedule::kCosine:
      return peak * CosineFactor(schedule.cosine(), step, warmup, total_steps);
    case LearningRateSchedule::kWsd:
      return peak * WsdFactor(schedule.wsd(), step, total_steps);
    case LearningRateSchedule::kConstant:
    case LearningRateSchedule::SHAPE_NOT_SET:
      return peak;
  }
  return peak;
}

absl::Status ValidateSchedule(const LearningRateSchedule& schedule) {
  if (!schedule.has_multi_step()) return absl::OkStatus();
  for (int i = 0; i < schedule.multi_step().milestone_size(); ++i) {
    const LearningRateSchedule::Milestone& milestone = schedule.multi_step().milestone(i);
    const std::string where = absl::StrCat("schedule.multi_step.milestone ", i + 1);
    if (milestone.when_case() == LearningRateSchedule::Milestone::WHEN_NOT_SET)
      return absl::InvalidArgumentError(
          absl::StrCat(where, " does not say when\n  fix: at_fraction: 0.8, or at_tokens"));
    if (milestone.has_at_tokens()) {
      if (const auto tokens = ParseTokens(milestone.at_tokens()); !tokens.ok())
        return Annotate(tokens.status(), absl::StrCat(where, ".at_tokens"));
    }
  }
  return absl::OkStatus();
}

int64_t TokensPerStep(const Train& train, int64_t sequence_length) {
  return int64_t{train.global_batch_size()} * sequence_length;
}

absl::StatusOr<int64_t> TotalSteps(const Train& train, int64_t sequence_length) {
  const int64_t tokens_per_step = TokensPerStep(train, sequence_length);
  if (tokens_per_step < 1) {
    return absl::InvalidArgumentError(absl::StrCat("global_batch_size ", train.global_batch_size(),
                                                   " x sequence_length ", sequence_length,
                                                   " is no batch\n  fix: both at least 1"));
  }
  switch (train.budget_case()) {
    case Train::kMaxSteps:
      if (train.max_steps() < 1) return absl::InvalidArgumentError("max_steps is less than 1");
      return train.max_steps();
    case Train::kMaxTokens: {
      absl::StatusOr<int64_t> tokens = ParseTokens(train.max_tokens());
      if (!tokens.ok()) return Annotate(tokens.status(), "max_tokens");
      if (*tokens < 1) return absl::InvalidArgumentError("max_tokens is less than 1");
      return (*tokens - 1) / tokens_per_step + 1;
    }
    case Train::BUDGET_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "the train stage does not say how long to train\n  fix: max_tokens: \"2.4M\", or max_steps");
}

}  // namespace millrace::trainer
