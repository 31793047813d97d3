// A record of the log holds any number of entries of 72 bytes: the stamp's five numbers and the digest.
#include "executor/cas/file_memo.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr uint32_t kEntries = 1;
constexpr size_t kEntryBytes = 5 * sizeof(int64_t) + 32;
constexpr int64_t kYoungNanos = 2'000'000'000;
constexpr int64_t kCompactBytes = 8 << 20;

int64_t Nanos(const struct timespec& t) { return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec; }

void AppendEntry(const FileStamp& stamp, const Digest& digest, std::string& bytes) {
  const int64_t numbers[5] = {stamp.device, stamp.inode, stamp.size_bytes, stamp.modified_nanos, stamp.changed_nanos};
  bytes.append(reinterpret_cast<const char*>(numbers), sizeof(numbers));
  bytes.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

}  // namespace

FileStamp FileStamp::From(const struct stat& s) {
  return {static_cast<int64_t>(s.st_dev), static_cast<int64_t>(s.st_ino), s.st_size, Nanos(s.st_mtim),
          Nanos(s.st_ctim)};
}

absl::StatusOr<FileStamp> FileStamp::Of(const std::string& path) {
  struct stat s;
  if (::stat(path.c_str(), &s) != 0) return ErrnoError(errno, "stat", path);
  if (!S_ISREG(s.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  return From(s);
}

absl::StatusOr<HashedFile> HashFile(const std::string& path, const std::atomic<int>* stop) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  struct stat before, after;
  int error = ::fstat(fd, &before) == 0 ? 0 : errno;
  Sha256 hash;
  bool stopped = false;
  if (error == 0 && before.st_size > 0) {
    std::vector<char> buffer(std::min<int64_t>(before.st_size + 1, 1 << 18));
    while (true) {
      stopped = stop != nullptr && stop->load(std::memory_order_relaxed) > 0;
      if (stopped) break;
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) error = errno;
      if (n <= 0) break;
      hash.Update({buffer.data(), static_cast<size_t>(n)});
    }
  }
  if (error == 0 && ::fstat(fd, &after) != 0) error = errno;
  ::close(fd);
  if (stopped) return absl::CancelledError("interrupted");
  if (error != 0) return ErrnoError(error, "read", path);
  const FileStamp stamp = FileStamp::From(after);
  // A hard link made meanwhile changes the change time and nothing else.
  if (FileStamp old = FileStamp::From(before);
      old.size_bytes != stamp.size_bytes || old.modified_nanos != stamp.modified_nanos)
    return absl::AbortedError(absl::StrCat(path, " changed while it was read"));
  return HashedFile{{hash.Finish()}, stamp};
}

absl::StatusOr<std::unique_ptr<FileMemo>> FileMemo::Open(const std::string& path, const std::atomic<int>* stop) {
  ASSIGN_OR_RETURN(std::unique_ptr<RecordLog> log, RecordLog::Open(path));
  std::unique_ptr<FileMemo> memo(new FileMemo(std::move(log), stop));
  RETURN_IF_ERROR(memo->log_->Refresh([&](const RecordLog::Record& record) { memo->Visit(record); }));
  if (memo->log_->size_bytes() > kCompactBytes && memo->num_read_ > 2 * static_cast<int64_t>(memo->entries_.size())) {
    std::string live;
    for (const auto& [key, entry] : memo->entries_) AppendEntry(entry.stamp, entry.digest, live);
    RecordLog::Batch batch;
    batch.Add(kEntries, live);
    RETURN_IF_ERROR(memo->log_->Replace(batch));
  }
  return memo;
}

void FileMemo::Visit(const RecordLog::Record& record) {
  for (absl::string_view rest = record.payload; rest.size() >= kEntryBytes; rest.remove_prefix(kEntryBytes)) {
    int64_t numbers[5];
    std::memcpy(numbers, rest.data(), sizeof(numbers));
    Entry entry;
    entry.stamp = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
    std::memcpy(entry.digest.bytes.data(), rest.data() + sizeof(numbers), entry.digest.bytes.size());
    entries_[{entry.stamp.device, entry.stamp.inode}] = entry;
    ++num_read_;
  }
}

absl::StatusOr<HashedFile> FileMemo::DigestOf(const std::string& path) {
  ASSIGN_OR_RETURN(const FileStamp stamp, FileStamp::Of(path));
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find({stamp.device, stamp.inode});
    if (found != entries_.end() && found->second.stamp == stamp) return HashedFile{found->second.digest, stamp};
  }
  ASSIGN_OR_RETURN(const HashedFile hashed, HashFile(path, stop_));
  const int64_t now = absl::GetCurrentTimeNanos();
  if (now - hashed.stamp.modified_nanos > kYoungNanos && now - hashed.stamp.changed_nanos > kYoungNanos) {
    std::lock_guard lock(mutex_);
    entries_[{hashed.stamp.device, hashed.stamp.inode}] = {hashed.stamp, hashed.digest};
    AppendEntry(hashed.stamp, hashed.digest, unwritten_);
  }
  return hashed;
}

absl::Status FileMemo::Flush() {
  std::lock_guard lock(mutex_);
  if (unwritten_.empty()) return absl::OkStatus();
  RecordLog::Batch batch;
  batch.Add(kEntries, unwritten_);
  unwritten_.clear();
  return log_->Append(batch);
}

}  // namespace millrace
