// manifest.json of a SHARDS folder: what is in it, for programs and for people.
//
//   {"format": "millrace.shards", "version": 1, "kind": "train" | "held_out", ...}
//
// It names each shard file with its size and SHA-256, so two folders with the same manifest hold the same shards.
#ifndef MILLRACE_DATA_SHARDS_MANIFEST_H_
#define MILLRACE_DATA_SHARDS_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace::data {

struct ShardManifest {
  enum class Kind { kTrain, kHeldOut };
  // A source is an ordinal (depth-first over the stages' `from`), never a name.
  struct Source {
    uint32_t source = 0;
    int64_t documents = 0;
    int64_t sequences = 0;   // train
    int64_t tokens = 0;      // train: predictions that count in the loss; held_out: ids of the documents
    int64_t text_bytes = 0;  // held_out: of the original documents
  };
  struct File {
    std::string name;     // "shard-00000.bin"
    int64_t entries = 0;  // sequences, or held-out documents
    int64_t size_bytes = 0;
    std::string sha256;  // lower-case hexadecimal
  };

  Kind kind = Kind::kTrain;
  int64_t sequence_length = 0;  // predictions of a sequence (of a held-out document's window)
  int64_t sequences = 0;
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t padding_tokens = 0;  // predictions that do not count
  int64_t text_bytes = 0;
  bool attend_across_documents = false;
  std::string strategy;  // "CONCATENATE"
  uint32_t vocab_size = 0;
  uint32_t eos_id = 0;
  std::vector<Source> sources;  // by ordinal; only those with documents
  std::vector<File> files;
};

// The text of manifest.json, ending with a newline.
std::string ToJson(const ShardManifest& manifest);

// Reads FOLDER/manifest.json. NotFound: there is none. DataLoss: it is not what ToJson writes.
// InvalidArgument: it is of another kind than `kind`.
absl::StatusOr<ShardManifest> ReadShardManifest(const std::string& folder, ShardManifest::Kind kind);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_MANIFEST_H_
