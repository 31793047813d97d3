// What a training run carries from step to step: weights and AdamW's two moments, float32, in one piece of memory each.
#ifndef MILLRACE_TRAINER_RUNTIME_TRAIN_STATE_H_
#define MILLRACE_TRAINER_RUNTIME_TRAIN_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/model/block.h"

namespace millrace::trainer {

// Thread-safe for reading; whoever changes disjoint ranges of tensors may do so on several threads.
class TrainState {
 public:
  struct Tensor {
    ParameterSpec spec;
    int64_t elements = 0;
    at::Tensor weights;       // of spec.shape; a view of the state's memory
    float* values = nullptr;  // its memory
    float* adam_m = nullptr;
    float* adam_v = nullptr;
  };

  // Memory for the model's logical tensors, in name order; the content is undefined. `with_moments` false: weights
  // only.
  explicit TrainState(const std::vector<std::unique_ptr<Block>>& model, bool with_moments = true);

  const std::vector<Tensor>& tensors() const { return tensors_; }
  int64_t num_parameters() const { return num_parameters_; }
  int IndexOf(const std::string& name) const { return index_of_.at(name); }
  // The weights by name, as `Inference` and safetensors take them.
  std::map<std::string, at::Tensor> NamedWeights() const;
  std::vector<std::string> Names() const;

  // Step 0: weights by the counter-based generator (trainer/model/initialize.h), moments zero.
  void Initialize(uint64_t seed);

  // FailedPrecondition: the checkpoint is of another model: a tensor is missing, too many, or has another shape.
  absl::Status Load(const CheckpointReader& checkpoint);
  absl::StatusOr<CheckpointIndex> NewIndex(int64_t step, std::string model_json,
                                           int64_t range_bytes = kCheckpointRangeBytes) const;
  // Writes one range of NewIndex's index.
  absl::Status WriteRange(const std::string& folder, const CheckpointIndex& index, int64_t range) const;

 private:
  struct Part {
    std::string prefix;  // "weights/"
    float* Tensor::*memory;
  };
  std::vector<Part> Parts() const;

  std::vector<Tensor> tensors_;
  std::map<std::string, int> index_of_;
  std::vector<at::Tensor> memory_;
  int64_t num_parameters_ = 0;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_TRAIN_STATE_H_
