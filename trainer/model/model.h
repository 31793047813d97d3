// A dense DeepSeek LLM as a list of blocks: "embed", "layers.0" ... "layers.L-1", "head".
#ifndef MILLRACE_TRAINER_MODEL_MODEL_H_
#define MILLRACE_TRAINER_MODEL_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "trainer/arch/model_config.h"
#include "trainer/model/block.h"

namespace millrace::trainer {

// `loss_chunk_tokens`: rows whose logits exist at a time. `max_positions`: the longest sequence, where it is shorter
// than the model's (smaller rotary tables, the same values); 0: the model's.
std::vector<std::unique_ptr<Block>> BuildModel(const ModelConfig& config, int loss_chunk_tokens,
                                               int64_t max_positions = 0);

// Logical tensors of the model in name order, each once.
std::vector<ParameterSpec> ModelParameters(const std::vector<std::unique_ptr<Block>>& model);

// Elements [begin, begin + count) of a freshly initialized tensor (initialize.h).
void InitializeRange(const ParameterSpec& parameter, uint64_t seed, int64_t begin, int64_t count, float* values);

using NamedTensors = std::map<std::string, at::Tensor>;

// The block's weights out of all, in its order. Names that are missing are undefined tensors.
std::vector<at::Tensor> WeightsOf(const Block& block, const NamedTensors& weights);

// A model that is only evaluated: activations of one layer at a time. Not thread-safe. `weights` are float32.
class Inference {
 public:
  Inference(const ModelConfig& config, const NamedTensors& weights, int loss_chunk_tokens, int64_t max_positions = 0);

  // The loss of each row of the leaf; 0 where it has no target.
  void RowLosses(const Leaf& leaf, float* loss_M);
  // The logits at rows [first_row, first_row + count).
  void Logits(const Leaf& leaf, int64_t first_row, int64_t count, float* logits_CV);

 private:
  void Run(const Leaf& leaf);  // all but the head; the result is in `current_`

  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::vector<at::Tensor>> weights_;
  at::Tensor current_;
  at::Tensor next_;
  Saved saved_;
  Saved head_saved_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_MODEL_H_
