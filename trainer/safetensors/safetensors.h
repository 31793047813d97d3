// Files of tensors in the safetensors format: an 8-byte little-endian header length, a JSON header (name -> dtype,
// shape, byte range of the data section), the data.
// Reference: https://github.com/huggingface/safetensors (the format's section of its README).
#ifndef MILLRACE_TRAINER_SAFETENSORS_SAFETENSORS_H_
#define MILLRACE_TRAINER_SAFETENSORS_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file.h"

namespace millrace::trainer {

enum class DType { kF32, kBF16, kF16, kI64 };

// "F32", as the header spells it.
absl::string_view DTypeName(DType dtype);
int64_t DTypeBytes(DType dtype);

// One tensor of an open file. `data` lives as long as the reader.
struct StoredTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::string_view data;

  int64_t elements() const;
};

// Reads by memory map: opening costs the header only. Immutable after Open: thread-safe.
class SafetensorsReader {
 public:
  // `path` is a .safetensors file, or a folder with model.safetensors or with model.safetensors.index.json and its
  // shards. NotFound: no such file. InvalidArgument: the header is not what the format allows (a range outside of the
  // file, overlaps or gaps, a size that does not fit the shape, an unknown dtype, a name twice), with the tensor's
  // name.
  static absl::StatusOr<SafetensorsReader> Open(const std::string& path);

  // By name, in byte order of names.
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  // NotFound: no such tensor.
  absl::StatusOr<StoredTensor> Get(const std::string& name) const;
  // The file's __metadata__; of all shards.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Elements as float32 (F32, BF16 or F16, exactly) or int64 (I64). InvalidArgument: another dtype, or `count` is not
  // the number of elements.
  absl::Status ReadFloats(const std::string& name, int64_t count, float* values) const;
  absl::Status ReadInts(const std::string& name, int64_t count, int64_t* values) const;

 private:
  absl::Status AddFile(const std::string& path);

  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Writes one file, tensor after tensor in name order, without holding more than what it is given. The same tensors give
// the same bytes. Not thread-safe.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;
  };

  // All tensors, in any order; the header is written now. `metadata` goes into __metadata__ if it is not empty.
  static absl::StatusOr<SafetensorsWriter> Create(const std::string& path, std::vector<Entry> entries,
                                                  const std::map<std::string, std::string>& metadata = {});

  // The tensor whose bytes come next: entries in name order. Null: all are written.
  const Entry* next() const { return next_ < entries_.size() ? &entries_[next_] : nullptr; }
  // Bytes of next(), whole or in pieces one after the other.
  void Append(absl::string_view bytes);
  // FailedPrecondition: some tensor's bytes are missing. Else the first error of writing.
  absl::Status Close();

 private:
  SafetensorsWriter(FileWriter file, std::vector<Entry> entries)
      : file_(std::move(file)), entries_(std::move(entries)) {}

  FileWriter file_;
  std::vector<Entry> entries_;
  size_t next_ = 0;
  int64_t bytes_of_next_ = 0;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SAFETENSORS_SAFETENSORS_H_
