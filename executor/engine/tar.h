// Tar archives as POSIX defines them (ustar interchange format, IEEE 1003.1), of plain files: what `tar tf` lists.
//
//   a header of 512 bytes: name (100), mode (8, octal), owner and group (8 each), size (12), time (12), sum of the
//   header's bytes (8), type (1), ..., "ustar\0" "00" at 257, a prefix of the name at 345 (155); the file's bytes,
//   zeros to a multiple of 512; two blocks of zeros at the end. Sizes of 8 GiB and more are in base 256, as GNU tar
//   writes them.
#ifndef MILLRACE_EXECUTOR_ENGINE_TAR_H_
#define MILLRACE_EXECUTOR_ENGINE_TAR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace millrace {

// Not thread-safe.
class TarWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TarWriter>> Create(const std::string& path);
  ~TarWriter();

  // InvalidArgument: the name is too long (about 250 bytes).
  absl::Status Add(const std::string& name, absl::string_view content);
  // DataLoss: the file has another size by now.
  absl::Status AddFile(const std::string& name, const std::string& path, int64_t size_bytes);
  // The end of the archive, and all of it on disk.
  absl::Status Close();

 private:
  explicit TarWriter(int fd) : fd_(fd) {}
  absl::Status AddHeader(const std::string& name, int64_t size_bytes);
  absl::Status Write(absl::string_view bytes);
  absl::Status Pad(int64_t size_bytes);
  int fd_;
};

// Not thread-safe. Reads a file or a pipe from the beginning to the end.
class TarReader {
 public:
  static absl::StatusOr<std::unique_ptr<TarReader>> Open(const std::string& path);
  ~TarReader();

  struct File {
    std::string name;
    int64_t size_bytes = 0;
  };
  // The next plain file, whatever is left of the last one; nothing at the end. DataLoss: this is no tar archive, or it
  // breaks off.
  absl::StatusOr<absl::optional<File>> Next();
  // Up to `room` bytes of it, at least one while there are any; 0 at its end.
  absl::StatusOr<size_t> Read(char* to, size_t room);
  absl::StatusOr<std::string> ReadAll();

 private:
  explicit TarReader(int fd) : fd_(fd) {}
  absl::Status ReadFully(char* to, size_t count);
  int fd_;
  int64_t left_ = 0;     // of the file
  int64_t padding_ = 0;  // behind it
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_TAR_H_
