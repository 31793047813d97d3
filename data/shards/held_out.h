// The artifact SHARDS of held-out data (a pack stage's output ".held_out"): whole documents, so that their bytes are
// decode(ids) and a loss can be given per document and per byte. A folder with manifest.json (data/shards/manifest.h)
// and held-out-00000.bin, ...; numbers are little-endian.
//
//   header (64 bytes)                        a record, one for each document (56 bytes)
//   offset size                              offset size
//        0    8  magic "MRHELDOT"                 0    8  index of its first id
//        8    4  version, 1                       8    4  ids
//       12    4  bytes of a record, 56           12    4  source, an ordinal
//       16    8  documents                       16    8  bytes of its text
//       24    8  ids                             24   32  SHA-256 of its text
//       32    4  vocab_size
//       36    4  eos_id                      then the ids, u32, document after document, without end-of-text ids
//       40   24  zero
//
// Documents are ordered by source, then by the SHA-256 of their text.
#ifndef MILLRACE_DATA_SHARDS_HELD_OUT_H_
#define MILLRACE_DATA_SHARDS_HELD_OUT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "base/sha256.h"
#include "data/shards/manifest.h"

namespace millrace::data {

struct HeldOutDocument {
  absl::Span<const uint32_t> ids;
  uint32_t source = 0;
  uint64_t text_bytes = 0;
  Sha256Bytes text_sha256 = {};
};

// The held-out documents of a folder. Thread-safe: immutable after Open.
class HeldOutSet {
 public:
  // NotFound, DataLoss: as for ShardSet. InvalidArgument: the folder holds training sequences.
  static absl::StatusOr<HeldOutSet> Open(const std::string& folder);

  const ShardManifest& manifest() const { return manifest_; }
  int64_t num_documents() const { return manifest_.documents; }
  HeldOutDocument document(int64_t index) const;  // index < num_documents()

 private:
  std::vector<MappedFile> files_;
  std::vector<int64_t> first_documents_;  // of each file
  ShardManifest manifest_;
};

// Writes a folder. Documents come in their final order. Memory: one file. Not thread-safe.
class HeldOutWriter {
 public:
  // `folder` exists. `info` gives sequence_length, vocab_size and eos_id.
  HeldOutWriter(std::string folder, ShardManifest info, int64_t shard_size_bytes);

  absl::Status Append(const HeldOutDocument& document);
  absl::Status Close();

  const ShardManifest& manifest() const { return manifest_; }

 private:
  absl::Status Flush();

  const std::string folder_;
  ShardManifest manifest_;
  const int64_t shard_size_bytes_;
  // Documents of the next file, and the ids of all of them.
  struct Pending {
    uint32_t ids = 0;
    uint32_t source = 0;
    uint64_t text_bytes = 0;
    Sha256Bytes text_sha256 = {};
  };
  std::vector<Pending> pending_;
  std::vector<uint32_t> pending_ids_;
  int64_t pending_bytes_ = 0;
};

// The windows of a document of `n` ids, as evaluation reads them: the document is EOS t1..tn EOS; each t and the last
// EOS are predicted in disjoint windows of at most `sequence_length` predictions, a window's context being the id
// before its first prediction. Each window is (first prediction, number of predictions) with 0 the prediction of t1.
std::vector<std::pair<int64_t, int64_t>> DocumentWindows(int64_t n, int64_t sequence_length);

// The ids of one window: context and predictions, `predictions` + 1 ids.
std::vector<uint32_t> WindowIds(const HeldOutDocument& document, uint32_t eos_id, int64_t first_prediction,
                                int64_t predictions);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_HELD_OUT_H_
