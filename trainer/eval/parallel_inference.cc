#include "trainer/eval/parallel_inference.h"

#include <algorithm>
#include <utility>

#include "ATen/Parallel.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "base/parallel.h"

namespace millrace::trainer {
namespace {

// Rows whose logits exist at a time: few enough to stay in a cache for a small vocabulary.
constexpr int kLossChunkTokens = 256;

}  // namespace

ParallelInference::ParallelInference(const LoadedModel& model, int threads)
    : model_(model), threads_(std::max(1, threads)) {}

std::unique_ptr<Inference> ParallelInference::Take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Inference> inference = std::move(idle_.back());
      idle_.pop_back();
      return inference;
    }
  }
  return std::make_unique<Inference>(model_.config, model_.weights, kLossChunkTokens);
}

void ParallelInference::GiveBack(std::unique_ptr<Inference> inference) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(inference));
}

void ParallelInference::ForEach(int64_t count, const std::function<void(int64_t, Inference&)>& body) {
  ParallelFor(threads_, count, [&](int64_t i) {
    at::set_num_threads(1);  // of the kernels called from this thread
    std::unique_ptr<Inference> inference = Take();
    body(i, *inference);
    GiveBack(std::move(inference));
  });
}

Leaf NewLeaf(int64_t sequences, int64_t length) {
  Leaf leaf;
  leaf.sequences = sequences;
  leaf.length = length;
  leaf.ids_M = at::full({sequences * length}, 0, at::kLong);
  leaf.targets_M = at::full({sequences * length}, -1, at::kLong);
  leaf.positions_M = at::empty({sequences * length}, at::kInt);
  int32_t* positions = leaf.positions_M.mutable_data_ptr<int32_t>();
  for (int64_t row = 0; row < sequences * length; ++row) positions[row] = static_cast<int32_t>(row % length);
  return leaf;
}

}  // namespace millrace::trainer
