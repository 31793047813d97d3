// The `evaluate` stage: measures a checkpoint.
#ifndef MILLRACE_TRAINER_EVAL_EVALUATE_H_
#define MILLRACE_TRAINER_EVAL_EVALUATE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/evaluate.pb.h"

namespace millrace::trainer {

// Reads the inputs "model" (a checkpoint), "tokenizer" and, if it is there, "likelihood.data" (held-out documents).
// Writes metrics.json (metrics.h) to the output "metrics" and reports each metric and sample; then checks the gates.
absl::Status EvaluateStage(Stage& stage, const Evaluate& parameters);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_EVALUATE_H_
