#include "trainer/model/head_block.h"

#include <algorithm>

#include "trainer/model/cross_entropy.h"
#include "trainer/model/gemm.h"
#include "trainer/model/rms_norm.h"
#include "trainer/model/scratch.h"
#include "trainer/model/tensors.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kLossBlock = 4096;

enum Parameter { kNorm, kTable };

// Float64 within a block, then over blocks, in order.
float SumOfLosses(int64_t rows, const float* loss_M) {
  double total = 0;
  for (int64_t begin = 0; begin < rows; begin += kLossBlock) {
    double block = 0;
    for (int64_t row = begin; row < std::min(rows, begin + kLossBlock); ++row) block += loss_M[row];
    total += block;
  }
  return static_cast<float>(total);
}

}  // namespace

struct HeadBlock::Work {
  int64_t rows;
  int64_t chunk;
  float* norm_MH;
  float* inverse_rms_M;
  float* loss_M;
  float* sum_M;
  float* logits_CV;  // of one chunk; after Forward, the last one's exponentials

  Work(const ModelConfig& config, const Leaf& leaf, int64_t chunk_rows, Saved& saved)
      : rows(leaf.sequences * leaf.length), chunk(std::min(chunk_rows, rows)) {
    const std::vector<float*> arrays =
        SavedArrays({rows * config.hidden_size, rows, rows, rows, chunk * config.vocab_size}, saved);
    norm_MH = arrays[0];
    inverse_rms_M = arrays[1];
    loss_M = arrays[2];
    sum_M = arrays[3];
    logits_CV = arrays[4];
  }
  int64_t last_chunk() const { return (rows - 1) / chunk * chunk; }
};

HeadBlock::HeadBlock(const ModelConfig& config, int64_t chunk_rows)
    : config_(config),
      chunk_rows_(chunk_rows),
      parameters_({{"model.norm.weight", {config.hidden_size}, Initialization::kOnes, 0, false},
                   {config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight",
                    {config.vocab_size, config.hidden_size},
                    Initialization::kNormal,
                    config.initializer_range,
                    true}}) {}

void HeadBlock::ForwardChunk(const float* table_VH, const Leaf& leaf, const Work& work, int64_t first_row,
                             int64_t rows) const {
  const int64_t hidden = config_.hidden_size, vocabulary = config_.vocab_size;
  GemmNt(rows, vocabulary, hidden, {work.norm_MH + first_row * hidden, hidden}, {table_VH, hidden},
         {work.logits_CV, vocabulary}, Output::kSet);
  CrossEntropyForward(rows, vocabulary, leaf.targets_M.const_data_ptr<int64_t>() + first_row, work.logits_CV,
                      work.loss_M + first_row, work.sum_M + first_row);
}

void HeadBlock::Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, at::Tensor& out,
                        Saved& saved) const {
  const Work work(config_, leaf, chunk_rows_, saved);
  RmsNormForward(work.rows, config_.hidden_size, static_cast<float>(config_.rms_norm_eps), In(in), In(weights[kNorm]),
                 work.norm_MH, work.inverse_rms_M);
  for (int64_t row = 0; row < work.rows; row += work.chunk) {
    ForwardChunk(In(weights[kTable]), leaf, work, row, std::min(work.chunk, work.rows - row));
  }
  if (!out.defined() || out.numel() != 1) EnsureShape(1, 1, out);
  *Out(out) = SumOfLosses(work.rows, work.loss_M);
}

void HeadBlock::RowLosses(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, Saved& saved,
                          float* loss_M) const {
  at::Tensor sum;
  Forward(weights, leaf, in, sum, saved);
  const Work work(config_, leaf, chunk_rows_, saved);
  std::copy(work.loss_M, work.loss_M + work.rows, loss_M);
}

void HeadBlock::Logits(const std::vector<at::Tensor>& weights, const at::Tensor& in, int64_t first_row, int64_t count,
                       float* logits_CV) const {
  const int64_t hidden = config_.hidden_size, vocabulary = config_.vocab_size;
  static thread_local Scratch memory;
  float* norm_CH = memory.Get(Aligned(count * hidden) + count);
  RmsNormForward(count, hidden, static_cast<float>(config_.rms_norm_eps), In(in) + first_row * hidden,
                 In(weights[kNorm]), norm_CH, norm_CH + Aligned(count * hidden));
  GemmNt(count, vocabulary, hidden, {norm_CH, hidden}, {In(weights[kTable]), hidden}, {logits_CV, vocabulary},
         Output::kSet);
}

void HeadBlock::Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                         const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                         Saved& saved) const {
  const Work work(config_, leaf, chunk_rows_, saved);
  const int64_t hidden = config_.hidden_size, vocabulary = config_.vocab_size;
  const float* table_VH = In(weights[kTable]);
  static thread_local Scratch memory;
  float* grad_norm_MH = memory.Get(work.rows * hidden);
  EnsureShape(work.rows, hidden, grad_in);
  // The last chunk's exponentials are still there.
  for (int64_t row = work.last_chunk(); row >= 0; row -= work.chunk) {
    const int64_t rows = std::min(work.chunk, work.rows - row);
    if (row != work.last_chunk()) ForwardChunk(table_VH, leaf, work, row, rows);
    CrossEntropyBackward(rows, vocabulary, leaf.targets_M.const_data_ptr<int64_t>() + row, work.sum_M + row,
                         leaf.loss_divisor, work.logits_CV);
    GemmNn(rows, hidden, vocabulary, {work.logits_CV, vocabulary}, {table_VH, hidden},
           {grad_norm_MH + row * hidden, hidden}, Output::kSet);
    GemmTn(vocabulary, hidden, rows, {work.logits_CV, vocabulary}, {work.norm_MH + row * hidden, hidden},
           {Out(gradients[kTable]), hidden}, row == work.last_chunk() ? Output::kSet : Output::kAdd);
  }
  RmsNormBackward(work.rows, hidden, In(in), In(weights[kNorm]), work.inverse_rms_M, grad_norm_MH, nullptr,
                  Out(grad_in), Out(gradients[kNorm]));
}

}  // namespace millrace::trainer
