#include "trainer/model/embedding_block.h"

#include "trainer/model/embedding.h"
#include "trainer/model/tensors.h"

namespace millrace::trainer {

EmbeddingBlock::EmbeddingBlock(const ModelConfig& config)
    : config_(config),
      parameters_({{"model.embed_tokens.weight",
                    {config.vocab_size, config.hidden_size},
                    Initialization::kNormal,
                    config.initializer_range,
                    true}}) {}

void EmbeddingBlock::Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                             at::Tensor& out, Saved& saved) const {
  const int64_t rows = leaf.sequences * leaf.length;
  EnsureShape(rows, config_.hidden_size, out);
  EmbeddingForward(rows, config_.hidden_size, leaf.ids_M.const_data_ptr<int64_t>(), In(weights[0]), Out(out));
}

void EmbeddingBlock::Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                              const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                              Saved& saved) const {
  EmbeddingBackward(leaf.sequences * leaf.length, config_.vocab_size, config_.hidden_size,
                    leaf.ids_M.const_data_ptr<int64_t>(), In(grad_out), Out(gradients[0]));
}

}  // namespace millrace::trainer
