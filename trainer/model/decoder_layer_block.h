// A decoder layer of a dense DeepSeek LLM (arXiv:2401.02954), which is Llama's: x2 = x + o(attention(norm(x))), then
// out = x2 + down(silu(gate(norm(x2))) * up(norm(x2))). Weights are those of Hugging Face, [output, input].
#ifndef MILLRACE_TRAINER_MODEL_DECODER_LAYER_BLOCK_H_
#define MILLRACE_TRAINER_MODEL_DECODER_LAYER_BLOCK_H_

#include <memory>
#include <string>
#include <vector>

#include "trainer/arch/model_config.h"
#include "trainer/model/block.h"
#include "trainer/model/rope.h"

namespace millrace::trainer {

class DecoderLayerBlock : public Block {
 public:
  // `rope` is shared by the layers of a model.
  DecoderLayerBlock(const ModelConfig& config, int64_t layer, std::shared_ptr<const RopeTable> rope);

  const std::string& name() const override { return name_; }
  const std::vector<ParameterSpec>& parameters() const override { return parameters_; }
  void Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, at::Tensor& out,
               Saved& saved) const override;
  void Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                Saved& saved) const override;

 private:
  const ModelConfig config_;
  const std::string name_;
  std::vector<ParameterSpec> parameters_;
  const std::shared_ptr<const RopeTable> rope_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_DECODER_LAYER_BLOCK_H_
