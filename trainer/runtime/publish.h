// Publishing a checkpoint: all ranks write their ranges, rank 0 renames the whole into place and announces it.
#ifndef MILLRACE_TRAINER_RUNTIME_PUBLISH_H_
#define MILLRACE_TRAINER_RUNTIME_PUBLISH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "trainer/comm/comm.h"
#include "trainer/runtime/train_state.h"

namespace millrace::trainer {

struct PublishOptions {
  std::string folder;      // where "step-000500" appears
  std::string model_json;  // for the index
  int64_t range_bytes = kCheckpointRangeBytes;
  // Called on rank 0 once the checkpoint is in place; from then on it is the reader's, who moves it away. Its error is
  // Publish()'s: nobody would move it away.
  std::function<absl::Status(const std::string& path, int64_t step)> announce;
  // Whether this process was asked to stop: then it does not wait for room.
  std::function<bool()> interrupted = [] { return false; };
};

class CheckpointPublisher {
 public:
  CheckpointPublisher(const TrainState& state, Comm& comm, PublishOptions options);

  // Called by all ranks with the same step. Waits while two published checkpoints are still there. Ranks that see rank
  // 0's folder write the ranges that are theirs (range modulo ranks); where one does not (hosts without a common file
  // system) rank 0 writes all. A checkpoint that could not be written whole is not published.
  //   ResourceExhausted: no space. Errors of the comm.
  absl::Status Publish(int64_t step);
  int64_t last_step() const { return last_step_; }  // -1: none yet

 private:
  absl::Status WaitForRoom();
  absl::StatusOr<bool> AllSee(const std::string& partial);
  // OK if `mine` is OK on all ranks; else `mine`, or Unavailable naming a rank that failed.
  absl::Status Agree(const absl::Status& mine, absl::string_view what);

  const TrainState& state_;
  Comm& comm_;
  const PublishOptions options_;
  int64_t last_step_ = -1;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_PUBLISH_H_
