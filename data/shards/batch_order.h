// Which sequences each optimizer step trains on: the trainer's only door to its data.
//
// The order is global: step s (from 1) of a global batch of B has the positions (s-1) B ... s B - 1. It knows nothing
// of ranks; whoever divides a batch among them changes no step, and nothing is ever padded to the number of ranks.
//   MIXTURE  position p is the mixture's; the order ends where the mixture does
//   SHARDS   position p is place p mod N of epoch p / N; the order of an epoch is that of PyTorch's DistributedSampler
//            with one rank, shuffle and `seed`: torch.randperm(N) seeded with seed + epoch. It never ends.
#ifndef MILLRACE_DATA_SHARDS_BATCH_ORDER_H_
#define MILLRACE_DATA_SHARDS_BATCH_ORDER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/shards/mixture.h"
#include "data/shards/shard.h"

namespace millrace::data {

// Thread-safe.
class BatchOrder {
 public:
  // `folder` is a MIXTURE or a SHARDS folder; `seed` (of the train stage) orders plain shards only.
  //   InvalidArgument: shards without sequences, or held-out documents. NotFound, DataLoss: as for Mixture and
  //   ShardSet.
  static absl::StatusOr<BatchOrder> Open(const std::string& folder, uint64_t seed);

  BatchOrder(BatchOrder&&) noexcept;
  BatchOrder& operator=(BatchOrder&&) noexcept;
  ~BatchOrder();

  int64_t sequence_length() const;
  uint32_t vocab_size() const;
  uint32_t eos_id() const;
  bool attend_across_documents() const;
  // Positions of the order; none: it never ends.
  std::optional<int64_t> num_positions() const;

  // The sequences of a step, `global_batch_size` of them.
  //   OutOfRange: the order ends before the step is full; says how many tokens there are and how many it takes.
  absl::StatusOr<std::vector<SequenceRef>> RowsForStep(int64_t step, int64_t global_batch_size) const;
  // The same error, before anything is trained, if `total_steps` steps need more than there is.
  absl::Status CheckEnough(int64_t total_steps, int64_t global_batch_size) const;

  // The sequence's ids (sequence_length() + 1), document starts, loss weights and source, in the memory map.
  absl::StatusOr<Sequence> Read(const SequenceRef& ref) const;

 private:
  struct Source;
  explicit BatchOrder(std::unique_ptr<Source> source);

  std::unique_ptr<Source> source_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_BATCH_ORDER_H_
