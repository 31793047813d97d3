// The artifact SHARDS (a pack stage's output ".train"): training sequences of one length, memory-mapped. A folder with
// manifest.json (data/shards/manifest.h) and shard-00000.bin, shard-00001.bin, ...; numbers are little-endian.
//
// A sequence of length T is T predictions, kept as T+1 ids: the input at position t is ids[t], its target ids[t+1].
// Where one text runs over two sequences, the last target of the first is also the first input of the second: that one
// id is stored twice, so that each sequence can be read alone.
//
//   header (64 bytes)                            columns, N sequences; each begins at a multiple of 8
//   offset size                                  ids           u32[N][T+1]
//        0    8  magic "MRSHARDS"                sources       u16[N]      ordinal; a sequence has one source
//        8    4  version, 1                      start_ends    u32[N]      where its document starts end in `starts`
//       12    4  T, the sequence length          starts        u32[D]      input positions, ascending in a sequence
//       16    8  N, sequences                    weight_rows   u32[N]      its row of `weights`; 0xFFFFFFFF: all 1
//       24    4  vocab_size: each id is below    weights       u8[W][T]    loss weight of each prediction, 0 or 1
//       28    4  eos_id                          footer (32 bytes, at a multiple of 8)
//       32    4  flags: bit 0, attention         offset size
//                crosses document borders             0    8  D, document starts
//       36   28  zero                                 8    8  W, rows of loss weights
//                                                    16    8  magic "MRSHARDE"
//                                                    24    8  zero
//
// A document start is the position of the input that a document's first prediction is made from: the end-of-text id
// before it. Attention that stays within documents reaches back to the last start at or before a position, or to 0. A
// sequence whose first start is not 0 begins in the middle of a document.
#ifndef MILLRACE_DATA_SHARDS_SHARD_H_
#define MILLRACE_DATA_SHARDS_SHARD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "base/sha256.h"
#include "data/shards/manifest.h"

namespace millrace::data {

// One sequence. Spans point into the map, or into the caller's memory.
struct Sequence {
  absl::Span<const uint32_t> ids;              // T+1
  absl::Span<const uint32_t> document_starts;  // ascending positions below T
  absl::Span<const uint8_t> loss_weights;      // T values, 0 or 1; empty: all 1
  uint16_t source = 0;
};

// One file. Immutable after Open.
class Shard {
 public:
  // NotFound: no such file. DataLoss: its bytes are not what the table above says.
  static absl::StatusOr<Shard> Open(const std::string& path);

  int64_t num_sequences() const { return num_sequences_; }
  int64_t sequence_length() const { return sequence_length_; }
  uint32_t vocab_size() const { return vocab_size_; }
  Sequence sequence(int64_t row) const;  // row < num_sequences()
  uint16_t source(int64_t row) const { return sources_[row]; }

 private:
  MappedFile file_;
  int64_t sequence_length_ = 0;
  int64_t num_sequences_ = 0;
  uint32_t vocab_size_ = 0;
  absl::Span<const uint32_t> ids_;
  absl::Span<const uint16_t> sources_;
  absl::Span<const uint32_t> start_ends_;
  absl::Span<const uint32_t> starts_;
  absl::Span<const uint32_t> weight_rows_;
  absl::Span<const uint8_t> weights_;
};

// The shards of a folder as one list of sequences. Thread-safe: immutable after Open. Opening touches the small
// columns only; ids are read when a sequence is.
class ShardSet {
 public:
  static absl::StatusOr<ShardSet> Open(const std::string& folder);

  const ShardManifest& manifest() const { return manifest_; }
  // SHA-256 of manifest.json, which names every shard with its own.
  const Sha256Bytes& digest() const { return digest_; }
  int64_t num_sequences() const { return manifest_.sequences; }
  int64_t sequence_length() const { return manifest_.sequence_length; }
  uint16_t source(int64_t row) const;  // row < num_sequences()

  // OutOfRange: no such row. DataLoss: an id is not below vocab_size, or a start not below the sequence length.
  absl::StatusOr<Sequence> Read(int64_t row) const;

 private:
  std::pair<const Shard*, int64_t> Find(int64_t row) const;

  std::string folder_;
  ShardManifest manifest_;
  Sha256Bytes digest_ = {};
  std::vector<Shard> shards_;
  std::vector<int64_t> first_rows_;  // of each shard
};

// Writes a folder, sequence by sequence. Memory: the small columns of one shard. Not thread-safe.
class ShardSetWriter {
 public:
  // `folder` exists. `info` gives sequence_length, attend_across_documents, strategy, vocab_size, eos_id; the counts
  // are the writer's. Exactly `num_sequences` will be appended; a shard is closed before it exceeds `shard_size_bytes`
  // (one sequence at least).
  ShardSetWriter(std::string folder, ShardManifest info, int64_t num_sequences, int64_t shard_size_bytes);
  ~ShardSetWriter();
  ShardSetWriter(const ShardSetWriter&) = delete;
  ShardSetWriter& operator=(const ShardSetWriter&) = delete;

  absl::Status Append(const Sequence& sequence);
  // For the manifest: documents that begin in the sequences of `source`.
  void CountDocuments(uint32_t source, int64_t documents);
  // Writes manifest.json.
  absl::Status Close();

  const ShardManifest& manifest() const { return manifest_; }

 private:
  struct Open;
  absl::Status Begin();
  absl::Status End();
  ShardManifest::Source& SourceOf(uint32_t source);

  const std::string folder_;
  ShardManifest manifest_;
  const int64_t num_sequences_;
  int64_t sequences_per_shard_ = 0;
  std::unique_ptr<Open> open_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_SHARD_H_
