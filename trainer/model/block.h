// A block: one differentiable unit of a model (the embedding, a decoder layer, the head with its loss) with a
// hand-written forward and backward over one leaf. A model is a list of blocks; schedule passes place, recompute and
// reduce blocks and know nothing of what is inside.
//
// Shapes: S sequences of a leaf, T tokens of a sequence, M = S*T rows, H hidden size, V vocabulary.
#ifndef MILLRACE_TRAINER_MODEL_BLOCK_H_
#define MILLRACE_TRAINER_MODEL_BLOCK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"

namespace millrace::trainer {

enum class Initialization { kNormal, kOnes, kZeros };

// A logical tensor under its Hugging Face name ("model.layers.0.self_attn.q_proj.weight").
struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  Initialization initialization = Initialization::kNormal;
  double standard_deviation = 0;  // of kNormal
  bool is_matrix = true;          // weight decay applies (norms and biases: false)
};

// The only unit that enters a kernel: `sequences` sequences of `length` tokens. All tensors have M rows, sequence by
// sequence.
struct Leaf {
  int64_t sequences = 0;
  int64_t length = 0;
  at::Tensor ids_M;        // int64
  at::Tensor targets_M;    // int64, the id to predict at this row; -1: no loss here
  at::Tensor positions_M;  // int32, for the rotary embedding: within the document if attention stays within it
  // int32, index within its sequence of the first row that this row may attend to. Undefined: 0 everywhere.
  at::Tensor attend_from_M;
  // What the sum of the rows' losses is divided by. Known before the step: (targets of the global batch) / (its
  // leaves), the same for every leaf, so that the mean over leaves of the gradients is that of the mean loss.
  double loss_divisor = 1;
};

// Activations that Backward needs, and scratch; reused from leaf to leaf. Owned by whoever runs the block; its content
// is the block's affair.
struct Saved {
  std::vector<at::Tensor> tensors;
};

// Stateless but for its configuration: Forward and Backward may run on several threads with different `Saved`.
class Block {
 public:
  virtual ~Block() = default;

  virtual const std::string& name() const = 0;  // "embed", "layers.0", "head"
  // In a fixed order; `weights` and `gradients` below have the same. Two blocks may name one parameter (tied
  // embeddings): each then adds its part of the gradient.
  virtual const std::vector<ParameterSpec>& parameters() const = 0;

  // Reads `in` (M x H; the first block ignores it), writes `out` (M x H; the last block writes one float32: the sum of
  // the rows' losses, undivided, added in fixed blocks of 4096 rows' terms).
  virtual void Forward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in, at::Tensor& out,
                       Saved& saved) const = 0;

  // Reads `grad_out` (M x H; the last block ignores it and starts from 1 / loss_divisor), writes `grad_in` (M x H; the
  // first block ignores it) and overwrites `gradients` (float32, shapes of parameters()).
  // `in` and `saved` are those of Forward with the same leaf.
  virtual void Backward(const std::vector<at::Tensor>& weights, const Leaf& leaf, const at::Tensor& in,
                        const at::Tensor& grad_out, at::Tensor& grad_in, std::vector<at::Tensor>& gradients,
                        Saved& saved) const = 0;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_BLOCK_H_
