// The last block: the final norm, the logits and their cross-entropy, chunk_rows rows at a time, so that logits are
// never whole. With one chunk Backward uses what Forward left; with several it computes the logits of all but the last
// again.
#ifndef MILLRACE_TRAINER_MODEL_HEAD_BLOCK_H_
#define MILLRACE_TRAINER_MODEL_HEAD_BLOCK_H_

#include <string>
#include <vector>

#include "trainer/arch/model_config.h"
#include "trainer/model/block.h"

namespace millrace::trainer {

class HeadBlock : public Block {
 public:
  // The table is "lm_head.weight", or with tied embeddings the embedding's own.
  HeadBlock(const ModelConfig& config, int64_t chunk_rows);

  const std::string& name() const override { return name_; }
  const std::vector<ParameterSpec>& parameters() const override { return parameters_; }
  void Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, at::Tensor& out,
               Saved& saved) const override;
  void Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                Saved& saved) const override;

  // As Forward, and writes the loss of each row (0 where there is no target).
  void RowLosses(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, Saved& saved,
                 float* loss_M) const;
  // The logits of rows [first_row, first_row + count) of `in`.
  void Logits(const std::vector<at::Tensor>& weights, const at::Tensor& in, int64_t first_row, int64_t count,
              float* logits_CV) const;

 private:
  struct Work;
  void ForwardChunk(const float* table_VH, const Leaf& leaf, const Work& work, int64_t first_row, int64_t rows) const;

  const ModelConfig config_;
  const int64_t chunk_rows_;
  const std::string name_ = "head";
  std::vector<ParameterSpec> parameters_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_HEAD_BLOCK_H_
