// How much memory a rank of a training job needs, term by term, in closed form.
//
// Weights, gradients and optimizer states follow ZeRO (arXiv:1910.02054, section 5); activations follow "Reducing
// Activation Recomputation in Large Transformer Models" (arXiv:2205.05198, section 4), worked out for SwiGLU,
// grouped-query attention and a fused attention kernel. Terms are given one by one, since accountings differ in which
// of them they count.
#ifndef MILLRACE_TRAINER_PLAN_MEMORY_H_
#define MILLRACE_TRAINER_PLAN_MEMORY_H_

#include <cstdint>

#include "pipelines/schema/train.pb.h"
#include "trainer/arch/model_config.h"

namespace millrace::trainer {

// How the work is laid out. Ranks: data_parallel x pipeline.
struct Layout {
  int zero_stage = 0;  // 0 nothing is divided; 1 optimizer; 2 and gradients; 3 and weights
  int64_t data_parallel = 1;
  int64_t pipeline = 1;
  int64_t micro_batch = 1;  // sequences
  Parallel::Recompute recompute = Parallel::RECOMPUTE_NONE;

  int64_t ranks() const { return data_parallel * pipeline; }
  friend bool operator==(const Layout&, const Layout&) = default;
};

// Bytes of one element of each kind, and the fixed parts.
struct MemoryAssumptions {
  double weight_bytes = 2;      // what the forward pass reads
  double gradient_bytes = 4;    // 2 bfloat16, 4 float32, 8 the exact integer sum
  double optimizer_bytes = 12;  // float32 master weights and Adam's two moments; without a master copy 8
  double activation_bytes = 2;
  int64_t loss_chunk_tokens = 1024;
  double other_bytes = 0;  // driver context, communication buffers, workspaces

  // For a train stage: FP32 keeps one float32 copy of the weights, BF16 and FP16 a 16-bit copy beside the master.
  static MemoryAssumptions For(const Train& train, double gradient_bytes, double other_bytes);
};

// Bytes on the rank that needs most.
struct RankMemory {
  double weights = 0;
  double gradients = 0;
  double optimizer = 0;
  // What is whole for a moment: the gradient of the largest unit (a layer, the embedding or the head) before it is added
  // to the sum; under ZeRO-3 also the unit's weights, and the next layer's.
  double gathered = 0;
  double activations = 0;
  double loss = 0;
  double other = 0;

  double states() const { return weights + gradients + optimizer; }
  double total() const { return states() + gathered + activations + loss + other; }
};

// Weights, gradients and optimizer of `parameters` parameters over `ranks` data-parallel ranks:
//   stage 0 (w+g+k)P   1 (w+g)P + kP/N   2 wP + (g+k)P/N   3 (w+g+k)P/N
RankMemory StateMemory(double parameters, int zero_stage, int64_t ranks, const MemoryAssumptions& assumptions);

// Forms of the activations of one layer that the backward pass needs, for one micro-batch of `tokens` tokens in
// sequences of s; h, a, k, f hidden size, heads, key-value heads, intermediate size; e bytes of an element.
enum class ActivationForm {
  kUnfused,      // tokens h (34 + 5 a s / h): attention scores kept; a plain MLP of 4 h (the paper's, e = 2 only)
  kFused,        // 34 tokens h: without the scores
  kSwiglu,       // tokens (e (h (6 + 2 k/a) + 3 f) + 4 a): SwiGLU with a fused attention kernel, no dropout
  kSwigluInner,  // tokens (e (h (4 + 2 k/a) + 2 f) + 4 a): as before, norms and SiLU x gate computed again
  kInputOnly,    // tokens e h: the layer's input; all else is computed again
};
double LayerActivationBytes(const ModelConfig& config, ActivationForm form, int64_t tokens, int64_t sequence_length,
                            double activation_bytes);

// Logits and their gradient for `tokens` tokens: (e + 8) tokens V with a 16-bit e, 8 tokens V in float32.
double LossBytes(const ModelConfig& config, int64_t tokens, double activation_bytes);

// Layers of pipeline stage `stage` of `stages`: as even as they can be, the first stages having one more.
int64_t LayersOfStage(int64_t num_layers, int64_t stages, int64_t stage);

// Parameters of a pipeline stage: its layers, the embedding on the first, the head and the last norm on the last.
double StageParameters(const ModelConfig& config, int64_t stages, int64_t stage);

// All terms, on the pipeline stage that needs most. With micro_batches micro-batches a step, stage i of p keeps the
// activations of min(micro_batches, p - i) of them (one forward, one backward).
RankMemory EstimateMemory(const ModelConfig& config, const Layout& layout, int64_t sequence_length,
                          int64_t micro_batches, const MemoryAssumptions& assumptions);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_PLAN_MEMORY_H_
