// Bounds that metrics must hold.
#ifndef MILLRACE_TRAINER_EVAL_GATES_H_
#define MILLRACE_TRAINER_EVAL_GATES_H_

#include "absl/status/status.h"
#include "pipelines/schema/evaluate.pb.h"
#include "trainer/eval/metrics.h"

namespace millrace::trainer {

// InvalidArgument: a gate's metric does not exist, with what was meant; GateFailedError (pipelines/protocol/stage.h):
// values are out of bounds, all of them with bound and `because`. A bound itself holds.
absl::Status CheckGates(const Evaluate& parameters, const Metrics& metrics);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_GATES_H_
