#include "trainer/runtime/batch_leaf_source.h"

#include <algorithm>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

template <typename T>
T* Rows(int64_t rows, at::ScalarType type, at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() != rows) tensor = at::empty({rows}, type);
  return tensor.data_ptr<T>();
}

int64_t CountTargets(const data::Sequence& sequence) {
  if (sequence.loss_weights.empty()) return static_cast<int64_t>(sequence.ids.size()) - 1;
  return std::count_if(sequence.loss_weights.begin(), sequence.loss_weights.end(), [](uint8_t w) { return w != 0; });
}

}  // namespace

void FillLeaf(absl::Span<const data::Sequence> sequences, int64_t length, bool attend_across_documents, Leaf& leaf) {
  leaf.sequences = static_cast<int64_t>(sequences.size());
  leaf.length = length;
  const int64_t rows = leaf.sequences * length;
  int64_t* ids = Rows<int64_t>(rows, at::kLong, leaf.ids_M);
  int64_t* targets = Rows<int64_t>(rows, at::kLong, leaf.targets_M);
  int32_t* positions = Rows<int32_t>(rows, at::kInt, leaf.positions_M);
  int32_t* attend_from = nullptr;
  if (attend_across_documents) {
    leaf.attend_from_M = at::Tensor();
  } else {
    attend_from = Rows<int32_t>(rows, at::kInt, leaf.attend_from_M);
  }
  int64_t row = 0;
  for (const data::Sequence& sequence : sequences) {
    size_t next_start = 0;
    int32_t start = 0;
    for (int64_t t = 0; t < length; ++t, ++row) {
      while (next_start < sequence.document_starts.size() && sequence.document_starts[next_start] <= t)
        start = static_cast<int32_t>(sequence.document_starts[next_start++]);
      const bool counts = sequence.loss_weights.empty() || sequence.loss_weights[t] != 0;
      ids[row] = sequence.ids[t];
      targets[row] = counts ? static_cast<int64_t>(sequence.ids[t + 1]) : -1;
      positions[row] = static_cast<int32_t>(attend_across_documents ? t : t - start);
      if (attend_from != nullptr) attend_from[row] = start;
    }
  }
}

BatchLeafSource::BatchLeafSource(const data::BatchOrder& order, int64_t global_batch_size, int64_t leaf_sequences)
    : order_(order), global_batch_size_(global_batch_size), leaf_sequences_(leaf_sequences) {
  MILLRACE_CHECK(global_batch_size % leaf_sequences == 0);
}

absl::Status BatchLeafSource::BeginStep(int64_t step) {
  ASSIGN_OR_RETURN(const std::vector<data::SequenceRef> refs, order_.RowsForStep(step, global_batch_size_));
  sequences_.clear();
  int64_t targets = 0;
  for (const data::SequenceRef& ref : refs) {
    ASSIGN_OR_RETURN(const data::Sequence sequence, order_.Read(ref));
    targets += CountTargets(sequence);
    sequences_.push_back(sequence);
  }
  if (targets == 0) return absl::InvalidArgumentError("no prediction of the step's sequences counts in the loss");
  loss_divisor_ = static_cast<double>(targets) / static_cast<double>(global_batch_size_ / leaf_sequences_);
  return absl::OkStatus();
}

absl::Status BatchLeafSource::Load(int64_t index, Leaf& leaf) {
  FillLeaf(absl::MakeConstSpan(sequences_).subspan(index * leaf_sequences_, leaf_sequences_), order_.sequence_length(),
           order_.attend_across_documents(), leaf);
  leaf.loss_divisor = loss_divisor_;
  return absl::OkStatus();
}

}  // namespace millrace::trainer
