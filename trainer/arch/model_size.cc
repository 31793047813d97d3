#include "trainer/arch/model_size.h"

namespace millrace::trainer {

ParameterCount CountParameters(const ModelConfig& config) {
  const int64_t h = config.hidden_size;
  const int64_t query = config.num_attention_heads * config.head_dim();
  const int64_t key_value = config.num_key_value_heads * config.head_dim();
  ParameterCount count;
  count.embedding = config.vocab_size * h;
  count.head = config.tie_word_embeddings ? 0 : config.vocab_size * h;
  count.attention = 2 * h * query + 2 * h * key_value;
  count.mlp = 3 * h * config.intermediate_size;
  count.layer_norms = 2 * h;
  count.layers = config.num_hidden_layers;
  count.final_norm = h;
  return count;
}

FlopsPerToken CountFlopsPerToken(const ModelConfig& config, int64_t sequence_length, bool causal) {
  const ParameterCount count = CountParameters(config);
  FlopsPerToken flops;
  flops.layers = 6.0 * count.layers * (count.attention + count.mlp);
  flops.head = 6.0 * config.vocab_size * config.hidden_size;
  flops.attention = (causal ? 6.0 : 12.0) * config.num_hidden_layers * config.num_attention_heads * config.head_dim() *
                    sequence_length;
  return flops;
}

}  // namespace millrace::trainer
