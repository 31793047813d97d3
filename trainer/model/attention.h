// Causal scaled dot-product attention with rotary embedding, forward and backward (arXiv:1706.03762, section 3.2.1), in
// tiles as FlashAttention (arXiv:2205.14135): no matrix of T x T is ever whole, and tiles that the mask hides entirely
// are not computed. Query head h uses key-value head h / (N / K) (grouped-query attention, arXiv:2305.13245).
//
// Shapes: S sequences of T tokens, M = S*T rows; N query heads, K key-value heads, D head dimension (even).
#ifndef MILLRACE_TRAINER_MODEL_ATTENTION_H_
#define MILLRACE_TRAINER_MODEL_ATTENTION_H_

#include <cstdint>

#include "trainer/model/rope.h"

namespace millrace::trainer {

struct AttentionShape {
  int64_t sequences;
  int64_t length;
  int64_t heads;  // a multiple of kv_heads
  int64_t kv_heads;
  int64_t head_dim;
};

// What is the same in both directions.
struct AttentionInput {
  AttentionShape shape;
  const RopeTable* rope;
  // M rows of N*D queries, K*D keys and K*D values, before the rotation; rows are (N + 2K) * D floats.
  const float* qkv_M;
  const int32_t* positions_M;    // for the rotation; below rope->max_positions()
  const int32_t* attend_from_M;  // at most the row's own index in its sequence; null: 0
};

// out_MND, and the logarithm of each row's sum of exponentials, log_sum_SNT, for the backward pass.
void AttentionForward(const AttentionInput& input, float* out_MND, float* log_sum_SNT);

// Overwrites grad_qkv_M (layout of qkv_M), the gradient before the rotation.
void AttentionBackward(const AttentionInput& input, const float* out_MND, const float* log_sum_SNT,
                       const float* grad_out_MND, float* grad_qkv_M);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_ATTENTION_H_
