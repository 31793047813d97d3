#include "trainer/runtime/testing.h"

#include "ATen/ops/empty.h"
#include "base/sha256.h"
#include "trainer/model/initialize.h"

namespace millrace::trainer {
namespace {

bool Counts(int64_t position) { return position % 7 != 3; }

}  // namespace

ModelConfig SmallModel(bool tied) {
  ModelConfig config;
  config.num_hidden_layers = 2;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.vocab_size = 61;
  config.max_position_embeddings = 16;
  config.initializer_range = 0.1;
  config.tie_word_embeddings = tied;
  return config;
}

absl::Status MadeUpLeaves::BeginStep(int64_t step) {
  step_ = step;
  int64_t targets = 0;
  for (int64_t i = 0; i < num_leaves_ * sequences_ * length_; ++i) targets += Counts(i);
  loss_divisor_ = static_cast<double>(targets) / static_cast<double>(num_leaves_);
  return absl::OkStatus();
}

absl::Status MadeUpLeaves::Load(int64_t index, Leaf& leaf) {
  const int64_t rows = sequences_ * length_;
  leaf.sequences = sequences_;
  leaf.length = length_;
  leaf.loss_divisor = loss_divisor_;
  leaf.ids_M = at::empty({rows}, at::kLong);
  leaf.targets_M = at::empty({rows}, at::kLong);
  leaf.positions_M = at::empty({rows}, at::kInt);
  const CounterRandom random(step_, "made up");
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t position = index * rows + i;
    leaf.ids_M.data_ptr<int64_t>()[i] = random.Bits(position) % vocabulary_;
    leaf.targets_M.data_ptr<int64_t>()[i] = Counts(position) ? random.Bits(position + 1) % vocabulary_ : -1;
    leaf.positions_M.data_ptr<int32_t>()[i] = static_cast<int32_t>(i % length_);
  }
  return absl::OkStatus();
}

std::string DigestOf(const TrainState& state) {
  Sha256 hash;
  for (const TrainState::Tensor& tensor : state.tensors()) {
    for (const float* values : {tensor.values, tensor.adam_m, tensor.adam_v})
      hash.Update({reinterpret_cast<const char*>(values), static_cast<size_t>(tensor.elements) * sizeof(float)});
  }
  return HexOf(hash.Finish());
}

}  // namespace millrace::trainer
