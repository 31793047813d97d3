// The learning rate of each step, and how many steps a budget is.
//
// Only additions, multiplications, divisions and comparisons of doubles are used (the cosine is our own series), so
// the rates are the same bits on every machine: they are part of what identifies a training segment.
#ifndef MILLRACE_TRAINER_ARCH_LEARNING_RATE_H_
#define MILLRACE_TRAINER_ARCH_LEARNING_RATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipelines/schema/train.pb.h"

namespace millrace::trainer {

// The rate of `step` (from 1) of `total_steps`, with `peak` = optimizer.adamw.learning_rate.
//   warm-up     step s <= warmup_steps: peak s / warmup_steps, whatever the shape
//   multi_step  a milestone holds from the first step that begins when at_fraction of all steps, or at_tokens tokens,
//               are done; the latest one reached counts (of two at one step, the later in the list)
//   cosine      factor min + (1 - min) (1 + cos(pi p)) / 2, p = (s - warmup) / (total - warmup): `min` at the last step
//   wsd         1, then linear over the last round(decay_fraction total) steps: `min` at the last step
// The schedule must be valid (ValidateSchedule) and 1 <= step.
double LearningRateAt(const LearningRateSchedule& schedule, double peak, int64_t step, int64_t total_steps,
                      int64_t tokens_per_step);

// The first step a milestone holds for.
int64_t FirstStepOf(const LearningRateSchedule::Milestone& milestone, int64_t total_steps, int64_t tokens_per_step);

// InvalidArgument: a milestone without `when`, or with a number of tokens that cannot be read. (A warm-up longer than the
// budget never reaches the peak: the loader warns.)
absl::Status ValidateSchedule(const LearningRateSchedule& schedule);

// Steps of the budget: max_steps, or max_tokens rounded up to whole steps of global_batch_size x sequence_length.
// InvalidArgument: no budget, or one that cannot be read.
absl::StatusOr<int64_t> TotalSteps(const Train& train, int64_t sequence_length);

// Predictions in one step.
int64_t TokensPerStep(const Train& train, int64_t sequence_length);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_ARCH_LEARNING_RATE_H_
