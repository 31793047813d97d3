// An append-only file of records that threads and processes share: action entries, segments, small blobs, memos and
// run events. One write() a batch and no fsync, so that a record costs microseconds.
//
//   offset  size  file
//        0    16  "millrace.log.v1\n"
//       16     -  records, one after the other
//
//   offset  size  record (little-endian)
//        0     4  n, bytes of payload
//        4     4  CRC-32C of type, n and payload
//        8     4  type, not 0; its meaning is the owner's
//       12     n  payload
//
// A writer killed in the middle, or a full disk, leaves a torn record at the end. Readers stop before it; the next
// writer cuts it off. Writers take flock() on the file for the time of one batch.
#ifndef MILLRACE_EXECUTOR_CAS_RECORD_LOG_H_
#define MILLRACE_EXECUTOR_CAS_RECORD_LOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// Thread-safe.
class RecordLog {
 public:
  // `payload` is valid until Replace(), here or elsewhere, is noticed: copy what is kept, or read it again by offset.
  struct Record {
    uint32_t type = 0;
    int64_t offset = 0;  // of the record, for At()
    absl::string_view payload;
  };
  using Visitor = std::function<void(const Record&)>;

  // A batch of records to append.
  class Batch {
   public:
    // Returns the offset of the record relative to the batch.
    int64_t Add(uint32_t type, absl::string_view payload);
    // The same; `write` fills the payload's `size` bytes.
    int64_t Add(uint32_t type, size_t size, absl::FunctionRef<void(char*)> write);
    bool empty() const { return bytes_.empty(); }
    const std::string& bytes() const { return bytes_; }

   private:
    std::string bytes_;
  };

  // The file and its folder are created if absent. DataLoss: the file is not such a log.
  static absl::StatusOr<std::unique_ptr<RecordLog>> Open(std::string path);
  // An existing log, for reading alone; NotFound.
  static absl::StatusOr<std::unique_ptr<RecordLog>> OpenForReading(std::string path);
  ~RecordLog();
  RecordLog(const RecordLog&) = delete;
  RecordLog& operator=(const RecordLog&) = delete;

  // Calls `visit` for each whole record that has not been visited yet, whoever wrote it. `on_replaced`, if the file was
  // replaced by another process since the last call, is called first: what was learnt from the old one is void.
  absl::Status Refresh(const Visitor& visit, const std::function<void()>& on_replaced = nullptr);

  // Refresh; then appends what `make` returns; all under the file's lock. Returns the offset of the batch (-1: it was
  // empty). Its records are visited by this call. ResourceExhausted: the disk is full; nothing was appended.
  absl::StatusOr<int64_t> Update(const Visitor& visit, const std::function<Batch()>& make,
                                 const std::function<void()>& on_replaced = nullptr);
  // Appends, for logs whose content this process does not look at.
  absl::Status Append(const Batch& batch);

  // Puts a log with the records of `batch` in the place of this one; the caller has seen to it that nothing is lost
  // (see Update). All records are visited again by the next Refresh.
  absl::Status Replace(const Batch& batch);

  // The payload of a record that was visited. NotFound: the file ends before it. DataLoss: its checksum is wrong.
  absl::StatusOr<std::string> At(int64_t offset);
  // Calls `use` with the payload in place.
  absl::Status View(int64_t offset, const std::function<void(const Record&)>& use);

  int64_t size_bytes();
  const std::string& path() const { return path_; }

 private:
  RecordLog(std::string path, bool writable) : path_(std::move(path)), writable_(writable) {}
  absl::Status OpenFile();
  void CloseFile();
  absl::StatusOr<bool> ReopenIfReplaced(const std::function<void()>& on_replaced);
  absl::Status VisitNew(const Visitor& visit);
  absl::Status WriteAtEnd(absl::string_view bytes);
  absl::StatusOr<int64_t> WriteLocked(const Visitor& visit, absl::FunctionRef<absl::string_view()> bytes,
                                      const std::function<void()>& on_replaced);

  const std::string path_;
  const bool writable_;
  std::shared_mutex mutex_;  // shared: looking at records
  int fd_ = -1;
  const char* map_ = nullptr;
  int64_t visited_ = 0;  // end of the last whole record that was visited
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_RECORD_LOG_H_
