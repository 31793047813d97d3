#include "trainer/model/model.h"

#include <algorithm>
#include <utility>

#include "trainer/model/decoder_layer_block.h"
#include "trainer/model/embedding_block.h"
#include "trainer/model/head_block.h"
#include "trainer/model/initialize.h"
#include "trainer/model/rope.h"

namespace millrace::trainer {

std::vector<std::unique_ptr<Block>> BuildModel(const ModelConfig& config, int loss_chunk_tokens,
                                               int64_t max_positions) {
  if (max_positions == 0) max_positions = config.max_position_embeddings;
  const auto rope =
      std::make_shared<const RopeTable>(config.head_dim(), max_positions, config.rope_theta, config.rope_linear_factor);
  std::vector<std::unique_ptr<Block>> model;
  model.push_back(std::make_unique<EmbeddingBlock>(config));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    model.push_back(std::make_unique<DecoderLayerBlock>(config, layer, rope));
  }
  model.push_back(std::make_unique<HeadBlock>(config, loss_chunk_tokens));
  return model;
}

std::vector<ParameterSpec> ModelParameters(const std::vector<std::unique_ptr<Block>>& model) {
  std::map<std::string, ParameterSpec> by_name;
  for (const auto& block : model) {
    for (const ParameterSpec& parameter : block->parameters()) by_name.emplace(parameter.name, parameter);
  }
  std::vector<ParameterSpec> parameters;
  for (auto& [name, parameter] : by_name) parameters.push_back(std::move(parameter));
  return parameters;
}

void InitializeRange(const ParameterSpec& parameter, uint64_t seed, int64_t begin, int64_t count, float* values) {
  switch (parameter.initialization) {
    case Initialization::kNormal:
      return FillNormal(seed, parameter.name, parameter.standard_deviation, begin, count, values);
    case Initialization::kOnes:
      std::fill(values, values + count, 1.0f);
      return;
    case Initialization::kZeros:
      std::fill(values, values + count, 0.0f);
      return;
  }
}

std::vector<at::Tensor> WeightsOf(const Block& block, const NamedTensors& weights) {
  std::vector<at::Tensor> tensors;
  for (const ParameterSpec& parameter : block.parameters()) {
    const auto found = weights.find(parameter.name);
    tensors.push_back(found == weights.end() ? at::Tensor() : found->second);
  }
  return tensors;
}

Inference::Inference(const ModelConfig& config, const NamedTensors& weights, int loss_chunk_tokens,
                     int64_t max_positions)
    : blocks_(BuildModel(config, loss_chunk_tokens, max_positions)) {
  for (const auto& block : blocks_) weights_.push_back(WeightsOf(*block, weights));
}

void Inference::Run(const Leaf& leaf) {
  for (size_t i = 0; i + 1 < blocks_.size(); ++i) {
    blocks_[i]->Forward(weights_[i], leaf, current_, next_, saved_);
    std::swap(current_, next_);
  }
}

void Inference::RowLosses(const Leaf& leaf, float* loss_M) {
  Run(leaf);
  static_cast<const HeadBlock&>(*blocks_.back()).RowLosses(weights_.back(), leaf, current_, head_saved_, loss_M);
}

void Inference::Logits(const Leaf& leaf, int64_t first_row, int64_t count, float* logits_CV) {
  Run(leaf);
  static_cast<const HeadBlock&>(*blocks_.back()).Logits(weights_.back(), current_, first_row, count, logits_CV);
}

}  // namespace millrace::trainer
