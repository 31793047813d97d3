// The first block: rows of the embedding table.
#ifndef MILLRACE_TRAINER_MODEL_EMBEDDING_BLOCK_H_
#define MILLRACE_TRAINER_MODEL_EMBEDDING_BLOCK_H_

#include <string>
#include <vector>

#include "trainer/arch/model_config.h"
#include "trainer/model/block.h"

namespace millrace::trainer {

class EmbeddingBlock : public Block {
 public:
  explicit EmbeddingBlock(const ModelConfig& config);

  const std::string& name() const override { return name_; }
  const std::vector<ParameterSpec>& parameters() const override { return parameters_; }
  void Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, at::Tensor& out,
               Saved& saved) const override;
  void Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                Saved& saved) const override;

 private:
  const ModelConfig config_;
  const std::string name_ = "embed";
  std::vector<ParameterSpec> parameters_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_EMBEDDING_BLOCK_H_
