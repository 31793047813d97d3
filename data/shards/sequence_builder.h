// Puts pieces of documents into sequences of one source, and pads what stays open.
#ifndef MILLRACE_DATA_SHARDS_SEQUENCE_BUILDER_H_
#define MILLRACE_DATA_SHARDS_SEQUENCE_BUILDER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "data/shards/shard.h"

namespace millrace::data {

// Not thread-safe.
class SequenceBuilder {
 public:
  SequenceBuilder(int64_t sequence_length, uint32_t eos_id, uint16_t source, ShardSetWriter* writer)
      : sequence_length_(sequence_length), eos_id_(eos_id), source_(source), writer_(writer) {}

  // The next prediction begins a document, or a piece of one, after the id `context`. If the sequence does not end with
  // that id already, it is put in as a target that does not count: one prediction of room.
  void StartPiece(uint32_t context);
  // Appends one prediction. A full sequence is written; the next one goes on from its last id.
  absl::Status Append(uint32_t id);
  // Writes an open sequence, padded with end-of-text ids whose loss weight is 0, and forgets what came before.
  absl::Status Finish();

  int64_t predictions() const { return ids_.empty() ? 0 : static_cast<int64_t>(ids_.size()) - 1; }

 private:
  absl::Status Write();

  const int64_t sequence_length_;
  const uint32_t eos_id_;
  const uint16_t source_;
  ShardSetWriter* const writer_;
  std::vector<uint32_t> ids_;  // context of the first prediction, then the predictions
  std::vector<uint32_t> starts_;
  std::vector<uint8_t> weights_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_SEQUENCE_BUILDER_H_
