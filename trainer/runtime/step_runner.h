// Runs optimizer steps: compiles the schedule for a model and a gang, proves it, and executes exactly its instructions.
#ifndef MILLRACE_TRAINER_RUNTIME_STEP_RUNNER_H_
#define MILLRACE_TRAINER_RUNTIME_STEP_RUNNER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/comm/comm.h"
#include "trainer/model/block.h"
#include "trainer/runtime/gradient_store.h"
#include "trainer/runtime/leaf_source.h"
#include "trainer/runtime/train_state.h"
#include "trainer/schedule/schedule.h"

namespace millrace::trainer {

struct StepOptions {
  int64_t num_leaves = 1;  // of the global batch
  GradientSum gradient_sum = GradientSum::kInt64;
  // AdamW (trainer/optim/adamw.h) and clipping; max_grad_norm 0: none.
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  bool decay_norms_and_biases = false;
  double max_grad_norm = 1.0;
  // None of these changes a bit of the result.
  int64_t leaves_per_micro_batch = 1;
  bool recompute = false;
  int64_t bucket_bytes = int64_t{32} << 20;
  int zero_stage = 0;
  int pipeline_parallel_size = 1;
};

// What this rank says to all others with a step.
struct StepSignals {
  bool interrupted = false;        // it was asked to stop
  bool checkpoint_wanted = false;  // it finds that it is time for a checkpoint
};

struct StepResult {
  double loss = 0;       // the mean over the global batch's targets, before the update
  double grad_norm = 0;  // before clipping
  StepSignals signals;   // of any rank; the same on all
};

// Not thread-safe: one thread runs the steps. Kernels use the threads of at::set_num_threads.
class StepRunner {
 public:
  // All of them must outlive the runner. Errors: CompileDataParallel's.
  static absl::StatusOr<std::unique_ptr<StepRunner>> New(const std::vector<std::unique_ptr<Block>>& model,
                                                         TrainState& state, Comm& comm, LeafSource& source,
                                                         const StepOptions& options);
  virtual ~StepRunner() = default;

  virtual const Schedule& schedule() const = 0;

  // Seconds spent in each kind of instruction since the last call; a reduction's are what the caller waited.
  virtual std::map<Op, double> TakeSeconds() = 0;

  // One step, from 1 on.
  //   Internal: a gradient or the loss is not finite or out of range; the state is still that of the step before.
  //   Errors of the source and of the comm; the state is then undefined.
  virtual absl::StatusOr<StepResult> RunStep(int64_t step, double learning_rate, const StepSignals& signals) = 0;

  // The gradients of the step, before clipping, without changing the state: by tensor, in the order of
  // state.tensors(). For parity checks.
  virtual absl::StatusOr<std::vector<std::vector<float>>> Gradients(int64_t step, StepResult* result) = 0;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_STEP_RUNNER_H_
