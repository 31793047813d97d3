// Parameters and floating-point operations of a model, in closed form.
#ifndef MILLRACE_TRAINER_ARCH_MODEL_SIZE_H_
#define MILLRACE_TRAINER_ARCH_MODEL_SIZE_H_

#include <cstdint>

#include "trainer/arch/model_config.h"

namespace millrace::trainer {

struct ParameterCount {
  int64_t embedding = 0;    // V h
  int64_t head = 0;         // V h; 0 when tied to the embedding
  int64_t attention = 0;    // of one layer: q, k, v, o
  int64_t mlp = 0;          // of one layer: gate, up, down
  int64_t layer_norms = 0;  // of one layer: 2 h
  int64_t layers = 0;       // how many
  int64_t final_norm = 0;   // h

  int64_t layer() const { return attention + mlp + layer_norms; }
  int64_t total() const { return embedding + head + layers * layer() + final_norm; }
};

ParameterCount CountParameters(const ModelConfig& config);

// Operations for one token's forward and backward pass (1 : 2) in sequences of `sequence_length`; a multiplication
// with its addition is 2. Elementwise work is left out, as is usual for MFU.
struct FlopsPerToken {
  double layers = 0;     // 6 x parameters of the layers' matrices
  double head = 0;       // 6 V h
  double attention = 0;  // q k^T and p v: 6 L a d s when causal, else twice that

  double total() const { return layers + head + attention; }
  // With full recomputation each layer's forward pass runs twice; the head's does not.
  double total_with_full_recomputation() const { return (layers + attention) * 4 / 3 + head; }
};

FlopsPerToken CountFlopsPerToken(const ModelConfig& config, int64_t sequence_length, bool causal = true);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_ARCH_MODEL_SIZE_H_
