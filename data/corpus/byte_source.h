// Bytes of a file as a stream; .gz (RFC 1952, also several members) and .zst (RFC 8878, also several frames) as what
// they hold. The name decides.
#ifndef MILLRACE_DATA_CORPUS_BYTE_SOURCE_H_
#define MILLRACE_DATA_CORPUS_BYTE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace::data {

// Not thread-safe. Holds a few hundred KiB (zstd: up to its window, at most 128 MiB).
class ByteSource {
 public:
  static absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& path);
  virtual ~ByteSource() = default;

  // Up to `size` bytes (at least one) into `out`; 0 at the end. InvalidArgument where compressed data are damaged or
  // end early (a compressed file is never empty); Unimplemented for a zstd window of more than 128 MiB.
  virtual absl::StatusOr<size_t> Read(char* out, size_t size) = 0;

  // Bytes of the file itself that have been read.
  virtual int64_t file_bytes_read() const = 0;
};

// `path` without ".gz" or ".zst".
absl::string_view WithoutCompressionSuffix(absl::string_view path);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_BYTE_SOURCE_H_
