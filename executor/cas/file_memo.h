// Remembers the digests of files by what stat() says of them, so that a file that has not changed is not read again.
//
// A digest is remembered by (device, inode) and holds while size, modification and change time are the same; the change
// time catches what sets the modification time back. A file younger than two seconds is never remembered: it could be
// written again within the clock's granularity.
#ifndef MILLRACE_EXECUTOR_CAS_FILE_MEMO_H_
#define MILLRACE_EXECUTOR_CAS_FILE_MEMO_H_

#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "executor/cas/digest.h"
#include "executor/cas/record_log.h"

namespace millrace {

// What a file looked like: two equal ones mean that it has not changed in between.
struct FileStamp {
  int64_t device = 0;
  int64_t inode = 0;
  int64_t size_bytes = 0;
  int64_t modified_nanos = 0;
  int64_t changed_nanos = 0;

  // Follows symbolic links. NotFound; InvalidArgument: not a regular file.
  static absl::StatusOr<FileStamp> Of(const std::string& path);
  static FileStamp From(const struct stat& s);
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

// SHA-256 of a file's bytes, whose stamp is the same before and after; Aborted if it changes while it is read.
// Cancelled: `stop` went above 0.
struct HashedFile {
  Digest digest;
  FileStamp stamp;
};
absl::StatusOr<HashedFile> HashFile(const std::string& path, const std::atomic<int>* stop = nullptr);

// Thread-safe.
class FileMemo {
 public:
  // `path`: a record log, created if absent.  `stop`: once it is above 0, no file is read to its end.
  static absl::StatusOr<std::unique_ptr<FileMemo>> Open(const std::string& path,
                                                        const std::atomic<int>* stop = nullptr);

  // From memory, or by reading the file: errors as of HashFile().
  absl::StatusOr<HashedFile> DigestOf(const std::string& path);
  // Writes what is new to the log.
  absl::Status Flush();

 private:
  FileMemo(std::unique_ptr<RecordLog> log, const std::atomic<int>* stop) : log_(std::move(log)), stop_(stop) {}

  struct Entry {
    FileStamp stamp;
    Digest digest;
  };
  void Visit(const RecordLog::Record& record);

  std::unique_ptr<RecordLog> log_;
  const std::atomic<int>* const stop_;
  std::mutex mutex_;
  absl::flat_hash_map<std::pair<int64_t, int64_t>, Entry> entries_;
  std::string unwritten_;  // entries, end to end
  int64_t num_read_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_FILE_MEMO_H_
