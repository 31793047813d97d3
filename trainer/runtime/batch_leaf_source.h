// Leaves out of the shards, in the order of data/shards/batch_order.h.
#ifndef MILLRACE_TRAINER_RUNTIME_BATCH_LEAF_SOURCE_H_
#define MILLRACE_TRAINER_RUNTIME_BATCH_LEAF_SOURCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "data/shards/batch_order.h"
#include "trainer/runtime/leaf_source.h"

namespace millrace::trainer {

// Makes `leaf` hold these sequences of `length` predictions: ids, targets (-1 where the loss weight is 0), positions,
// and where attention stays within documents the row it may reach back to. Tensors are used again where they fit.
void FillLeaf(absl::Span<const data::Sequence> sequences, int64_t length, bool attend_across_documents, Leaf& leaf);

class BatchLeafSource : public LeafSource {
 public:
  // `order` must outlive the source. global_batch_size is a multiple of leaf_sequences.
  BatchLeafSource(const data::BatchOrder& order, int64_t global_batch_size, int64_t leaf_sequences);

  // Errors of the order. InvalidArgument: no prediction of the step counts in the loss.
  absl::Status BeginStep(int64_t step) override;
  double loss_divisor() const override { return loss_divisor_; }
  absl::Status Load(int64_t index, Leaf& leaf) override;

 private:
  const data::BatchOrder& order_;
  const int64_t global_batch_size_;
  const int64_t leaf_sequences_;
  std::vector<data::Sequence> sequences_;  // of the step
  double loss_divisor_ = 1;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_BATCH_LEAF_SOURCE_H_
