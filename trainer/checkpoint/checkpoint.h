// The artifact CHECKPOINT: the whole state of a training run after some step, in a layout that does not depend on how
// many ranks wrote it, on which machine, or when. Without LibTorch.
//
// A folder:
//   checkpoint.json      the index, below
//   range-00000.bin ...  the logical tensors in byte order of their names, end to end, float32 little-endian, cut every
//                        range_bytes (64 MiB); the last one is as long as what is left
//
//   {"format": "millrace.checkpoint", "version": 1, "step": 500, "range_bytes": 67108864, "total_bytes": 11169792,
//    "model": {"num_hidden_layers": 2, ...},
//    "tensors": [{"name": "adam_m/model.embed_tokens.weight", "dtype": "float32", "shape": [4096, 128], "offset": 0},
//                ...]}
//
// Names: "weights/NAME", "adam_m/NAME" and "adam_v/NAME" (first and second moment), with Hugging Face's NAME. `model`
// has the fields of the schema's Model message; `offset` is in bytes. What follows step 500 depends on nothing else.
#ifndef MILLRACE_TRAINER_CHECKPOINT_CHECKPOINT_H_
#define MILLRACE_TRAINER_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/file.h"

namespace millrace::trainer {

inline constexpr int64_t kCheckpointRangeBytes = int64_t{64} << 20;

struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset_bytes = 0;
  int64_t elements = 0;
};

struct CheckpointIndex {
  int64_t step = 0;
  std::string model_json;                 // an object, the Model message in Protobuf's JSON
  std::vector<CheckpointTensor> tensors;  // in byte order of the names
  int64_t range_bytes = kCheckpointRangeBytes;
  int64_t total_bytes = 0;

  int64_t num_ranges() const { return (total_bytes + range_bytes - 1) / range_bytes; }
  int64_t bytes_of_range(int64_t range) const;
};

// Sorts the tensors and computes their offsets and sizes from their names and shapes.
// InvalidArgument: two tensors have one name, or `model_json` is not an object.
absl::StatusOr<CheckpointIndex> NewCheckpointIndex(int64_t step, std::string model_json,
                                                   std::vector<CheckpointTensor> tensors,
                                                   int64_t range_bytes = kCheckpointRangeBytes);

// checkpoint.json, ending with a newline; the same bytes for the same index.
std::string ToJson(const CheckpointIndex& index);

std::string RangeFileName(int64_t range);  // "range-00000.bin"
std::string CheckpointName(int64_t step);  // "step-000500"

// Writes one range file into `folder`. `tensor(i)` gives the elements of index.tensors[i].
absl::Status WriteRange(const std::string& folder, const CheckpointIndex& index, int64_t range,
                        const std::function<absl::Span<const float>(size_t)>& tensor);
// Writes checkpoint.json: last, when all ranges are there.
absl::Status WriteIndex(const std::string& folder, const CheckpointIndex& index);

// A checkpoint for reading; the ranges are memory-mapped. Immutable after Open: thread-safe.
class CheckpointReader {
 public:
  // NotFound: no checkpoint.json, or a range file is missing. DataLoss: it is not JSON, a range file has another size
  // than the index says, or offsets do not fit. FailedPrecondition: a version or dtype this program does not read.
  static absl::StatusOr<CheckpointReader> Open(const std::string& folder);

  const CheckpointIndex& index() const { return index_; }
  // Null: there is none.
  const CheckpointTensor* Find(absl::string_view name) const;

  // Elements [begin, begin + out.size()) of a tensor. NotFound: there is none. OutOfRange: it is shorter.
  absl::Status Read(absl::string_view name, int64_t begin, absl::Span<float> out) const;
  absl::StatusOr<std::vector<float>> Read(absl::string_view name) const;

 private:
  std::string folder_;
  CheckpointIndex index_;
  std::vector<MappedFile> ranges_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_CHECKPOINT_CHECKPOINT_H_
