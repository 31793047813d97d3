// The shape of a dense DeepSeek LLM (arXiv:2401.02954), from the `Model` message of a pipeline: presets, checks, and
// plain numbers for whoever computes with them. No LibTorch here.
#ifndef MILLRACE_TRAINER_ARCH_MODEL_CONFIG_H_
#define MILLRACE_TRAINER_ARCH_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pipelines/schema/model.pb.h"

namespace millrace::trainer {

// Pre-norm RMSNorm, rotary embedding, SwiGLU, multi-head or grouped-query attention. Names are Hugging Face's.
struct ModelConfig {
  int64_t num_hidden_layers = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rope_theta = 10000;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;
  double rope_linear_factor = 1;

  int64_t head_dim() const { return hidden_size / num_attention_heads; }
  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

// What is wrong with one field. `what` is complete without the others: it has the field's value and the bound.
struct ConfigProblem {
  std::string field;  // of `Model`: "num_attention_heads"
  std::string what;
  std::string why;
  std::string fix;
};

// Fills in what is not set from `preset`, then clears `preset`: afterwards the fields say everything, and a key made
// from them does not depend on how the model was written. Fields that are set win. Without num_key_value_heads every
// attention head has its own (multi-head attention), as in Hugging Face's LlamaConfig.
// Values: the published config.json of deepseek-llm-7b-base, deepseek-llm-67b-base and deepseek-coder-33b-base.
void ExpandPreset(Model* model);

// All that is wrong with an expanded model, in field order; empty: nothing. Proto bounds (at_least, ...) are not
// repeated where they already exclude the value.
std::vector<ConfigProblem> Validate(const Model& model);

// Checks what a model must have of its data: positions for sequence_length predictions, and rows for every id.
// `vocab_size` 0 leaves the second unchecked.
std::vector<ConfigProblem> ValidateAgainstData(const Model& model, int64_t sequence_length, int64_t vocab_size);

// Expands a copy and validates it. InvalidArgument: every problem, one a line.
absl::StatusOr<ModelConfig> ModelConfigFromProto(const Model& model);

// The same model as a message with every field set.
Model ModelConfigToProto(const ModelConfig& config);

// "what\n  why: ...\n  fix: ..." for each, separated by newlines.
std::string ToString(const std::vector<ConfigProblem>& problems);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_ARCH_MODEL_CONFIG_H_
