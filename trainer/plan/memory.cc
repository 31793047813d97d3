#include "trainer/plan/memory.h"

#include <algorithm>

#include "trainer/arch/model_size.h"

namespace millrace::trainer {
namespace {

ActivationForm KeptForm(Parallel::Recompute recompute) {
  switch (recompute) {
    case Parallel::RECOMPUTE_NONE:
      return ActivationForm::kSwiglu;
    case Parallel::SELECTIVE:
      return ActivationForm::kSwigluInner;
    case Parallel::FULL:
      return ActivationForm::kInputOnly;
  }
  return ActivationForm::kSwiglu;
}

double ActivationBytes(const ModelConfig& config, const Layout& layout, int64_t sequence_length, int64_t in_flight,
                       int64_t layers, double activation_bytes) {
  const int64_t tokens = layout.micro_batch * sequence_length;
  const double kept =
      LayerActivationBytes(config, KeptForm(layout.recompute), tokens, sequence_length, activation_bytes);
  // The layer whose backward pass is under way has everything.
  const double live = layout.recompute == Parallel::FULL ? LayerActivationBytes(config, ActivationForm::kSwiglu, tokens,
                                                                                sequence_length, activation_bytes)
                                                         : 0;
  return kept * layers * in_flight + live;
}

}  // namespace

MemoryAssumptions MemoryAssumptions::For(const Train& train, double gradient_bytes, double other_bytes) {
  MemoryAssumptions assumptions;
  if (train.precision() == Train::FP32) {
    assumptions.weight_bytes = 4;
    assumptions.optimizer_bytes = 8;
    assumptions.activation_bytes = 4;
  }
  assumptions.gradient_bytes = gradient_bytes;
  assumptions.loss_chunk_tokens = train.loss_chunk_tokens();
  assumptions.other_bytes = other_bytes;
  return assumptions;
}

RankMemory StateMemory(double parameters, int zero_stage, int64_t ranks, const MemoryAssumptions& assumptions) {
  const auto share = [&](int from_stage) { return parameters / (zero_stage >= from_stage ? ranks : 1); };
  RankMemory memory;
  memory.weights = assumptions.weight_bytes * share(3);
  memory.gradients = assumptions.gradient_bytes * share(2);
  memory.optimizer = assumptions.optimizer_bytes * share(1);
  return memory;
}

double LayerActivationBytes(const ModelConfig& config, ActivationForm form, int64_t tokens, int64_t sequence_length,
                            double e) {
  const double n = tokens, h = config.hidden_size, a = config.num_attention_heads, f = config.intermediate_size;
  const double key_value_share = config.num_key_value_heads / a;
  switch (form) {
    case ActivationForm::kUnfused:
      return n * h * (34 + 5 * a * sequence_length / h);
    case ActivationForm::kFused:
      return 34 * n * h;
    case ActivationForm::kSwiglu:
      return n * (e * (h * (6 + 2 * key_value_share) + 3 * f) + 4 * a);
    case ActivationForm::kSwigluInner:
      return n * (e * (h * (4 + 2 * key_value_share) + 2 * f) + 4 * a);
    case ActivationForm::kInputOnly:
      return n * e * h;
  }
  return 0;
}

double LossBytes(const ModelConfig& config, int64_t tokens, double activation_bytes) {
  return (activation_bytes < 4 ? activation_bytes + 8 : 8) * tokens * config.vocab_size;
}

int64_t LayersOfStage(int64_t num_layers, int64_t stages, int64_t stage) {
  return num_layers / stages + (stage < num_layers % stages ? 1 : 0);
}

double StageParameters(const ModelConfig& config, int64_t stages, int64_t stage) {
  const ParameterCount count = CountParameters(config);
  double parameters = static_cast<double>(LayersOfStage(config.num_hidden_layers, stages, stage)) * count.layer();
  if (stage == 0) parameters += count.embedding;
  // A tied head on another stage than the embedding needs its own copy.
  if (stage == stages - 1) parameters += count.final_norm + (stages > 1 ? count.embedding : count.head);
  return parameters;
}

RankMemory EstimateMemory(const ModelConfig& config, const Layout& layout, int64_t sequence_length,
                          int64_t micro_batches, const MemoryAssumptions& assumptions) {
  const ParameterCount count = CountParameters(config);
  RankMemory most;
  for (int64_t stage = 0; stage < layout.pipeline; ++stage) {
    const bool has_ends = stage == 0 || stage == layout.pipeline - 1;
    RankMemory memory = StateMemory(StageParameters(config, layout.pipeline, stage), layout.zero_stage,
                                    layout.data_parallel, assumptions);
    const double unit = std::max<double>(count.layer(), has_ends ? count.embedding : 0);
    const bool weights_divided = layout.zero_stage == 3 && layout.data_parallel > 1;
    memory.gathered = assumptions.weight_bytes * (weights_divided ? count.layer() + 2 * unit : unit);
    const int64_t in_flight = std::min(micro_batches, layout.pipeline - stage);
    memory.activations =
        ActivationBytes(config, layout, sequence_length, in_flight,
                        LayersOfStage(config.num_hidden_layers, layout.pipeline, stage), assumptions.activation_bytes);
    const int64_t chunk = std::min(assumptions.loss_chunk_tokens, layout.micro_batch * sequence_length);
    if (stage == layout.pipeline - 1) memory.loss = LossBytes(config, chunk, assumptions.activation_bytes);
    memory.other = assumptions.other_bytes;
    if (stage == 0 || memory.total() > most.total()) most = memory;
  }
  return most;
}

}  // namespace millrace::trainer
