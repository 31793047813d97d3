// Files and folders with Status in place of errno, and writes that are whole or absent.
#ifndef MILLRACE_BASE_FILE_H_
#define MILLRACE_BASE_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// The error for `errno` after `action` ("open", "rename") on `path`. ENOENT is NotFound; ENOSPC, EDQUOT and ENOMEM are
// ResourceExhausted; EACCES, EPERM and EROFS are FailedPrecondition; EIO is DataLoss; the rest is Internal.
absl::Status ErrnoError(int error, absl::string_view action, absl::string_view path);

std::string JoinPath(absl::string_view a, absl::string_view b);
// The part after the last '/'.
absl::string_view BaseName(absl::string_view path);

bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes beside `path`, then renames: a reader sees the old content or the new one, also after kill -9.
absl::Status WriteFileAtomic(const std::string& path, absl::string_view content);
// Plain write, for files that nobody reads before they are complete.
absl::Status WriteFile(const std::string& path, absl::string_view content);

// With parents; no error if it is there.
absl::Status CreateDirectories(const std::string& path);
// Everything below and `path` itself; no error if it is not there. Read-only folders are made writable first.
absl::Status RemoveTree(const std::string& path);
absl::Status RenameFile(const std::string& from, const std::string& to);

// Regular files below `folder` (symbolic links followed), relative paths in byte order.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& folder);
absl::StatusOr<int64_t> FileSize(const std::string& path);

// $TEST_TMPDIR, else $TMPDIR, else /tmp; and a new folder below it.
std::string TempRoot();
absl::StatusOr<std::string> MakeTempDirectory(absl::string_view prefix);

// A read-only memory map. An empty file is an empty view.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  absl::string_view data() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

// Buffered writing, with the first error kept: check Close(). Not thread-safe.
class FileWriter {
 public:
  static absl::StatusOr<FileWriter> Create(const std::string& path);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;
  ~FileWriter();

  void Append(absl::string_view bytes);
  int64_t size_bytes() const { return size_bytes_; }
  absl::Status Close();

 private:
  FileWriter(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  void Flush();

  int fd_ = -1;
  std::string path_;
  std::string buffer_;
  int64_t size_bytes_ = 0;
  absl::Status status_;
};

}  // namespace millrace

#endif  // MILLRACE_BASE_FILE_H_
