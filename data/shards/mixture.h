// The artifact MIXTURE: an order over the sequences of shards. A folder with
//
//   order.bin        position -> sequence, see below; little-endian
//   manifest.json    components with weights, sizes and how far each was used; why the order ends
//   shards/0, ...    the distinct SHARDS folders the components name, as hard links: no copies
//
// What a position stands for is in order.bin and shards/ alone, so that two mixtures with the same shards whose orders
// begin alike give the same steps: the executor compares them (executor/engine/train_data.h).
//
//   order.bin, header (64 bytes)                  then one u64 a position:
//   offset size                                     bits 48-63  folder below shards/
//        0    8  magic "MRMIXORD"                   bits  0-47  row in its shards
//        8    4  version, 2
//       12    4  components
//       16    8  positions
//       24    4  sequence_length
//       28    4  distinct SHARDS folders
//       32   32  zero
#ifndef MILLRACE_DATA_SHARDS_MIXTURE_H_
#define MILLRACE_DATA_SHARDS_MIXTURE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"
#include "data/shards/shard.h"

namespace millrace::data {

struct MixtureManifest {
  struct Component {
    uint32_t shards = 0;             // index of its folder below shards/
    std::optional<uint32_t> source;  // absent: all of them
    double weight = 0;
    double max_epochs = 0;
    int64_t sequences = 0;  // there are
    int64_t positions = 0;  // in the order
  };
  int64_t sequence_length = 0;
  int64_t positions = 0;
  std::string when_exhausted;
  std::optional<uint32_t> ended_by;  // the component that would have been seen too often; absent: all are used up
  std::vector<Component> components;
};

std::string ToJson(const MixtureManifest& manifest);

// Where a sequence is.
struct SequenceRef {
  uint32_t folder = 0;  // below the mixture's shards/; 0 for plain shards
  int64_t row = 0;

  friend bool operator==(const SequenceRef&, const SequenceRef&) = default;
};

// Thread-safe: immutable after Open.
class Mixture {
 public:
  // NotFound: a file is missing. DataLoss: a file is not what the table above says.
  static absl::StatusOr<Mixture> Open(const std::string& folder);

  const MixtureManifest& manifest() const { return manifest_; }
  int64_t num_positions() const { return manifest_.positions; }
  int64_t sequence_length() const { return manifest_.sequence_length; }
  SequenceRef at(int64_t position) const;  // position < num_positions()

  const std::vector<ShardSet>& shards() const { return shards_; }  // by folder

 private:
  MappedFile order_;
  MixtureManifest manifest_;
  std::vector<ShardSet> shards_;
};

// Writes order.bin. Not thread-safe.
class MixtureOrderWriter {
 public:
  static absl::StatusOr<MixtureOrderWriter> Create(const std::string& folder);
  void Append(const SequenceRef& ref);
  absl::Status Close(uint32_t components, uint32_t sequence_length, uint32_t folders);
  int64_t positions() const { return positions_; }

 private:
  MixtureOrderWriter(std::string path, FileWriter file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  FileWriter file_;
  int64_t positions_ = 0;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_MIXTURE_H_
