// The loss on held-out data while training.
#ifndef MILLRACE_TRAINER_RUNTIME_VALIDATION_H_
#define MILLRACE_TRAINER_RUNTIME_VALIDATION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/arch/model_config.h"
#include "trainer/comm/comm.h"
#include "trainer/model/model.h"
#include "trainer/runtime/train_state.h"

namespace millrace::trainer {

// Sequences of predictions, the same for every number of ranks. Held-out documents are read in the windows of
// evaluation (DocumentWindows), several to a sequence, each seeing only itself; training shards sequence by sequence.
// With a bound of tokens, windows are taken at equal distances, so that each source has its share.
class Validation {
 public:
  // `max_tokens` 0: all. Errors of HeldOutSet::Open and ShardSet::Open.
  //   InvalidArgument: ids beyond the model's vocabulary, or sequences longer than its positions.
  static absl::StatusOr<std::unique_ptr<Validation>> Open(const std::string& folder, int64_t max_tokens,
                                                          const ModelConfig& config, int loss_chunk_tokens,
                                                          int64_t leaf_sequences, const TrainState& state);
  virtual ~Validation() = default;

  virtual int64_t tokens() const = 0;
  // The mean loss, with the state's present weights; each rank computes its leaves.
  virtual absl::StatusOr<double> Loss(Comm& comm) = 0;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_VALIDATION_H_
