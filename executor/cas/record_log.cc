// Reading goes through one mapping that reaches far beyond the end of the file: what is appended later shows in it, so
// that a refresh costs one fstat().
#include "executor/cas/record_log.h"

#include <fcntl.h>
#include <nmmintrin.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr absl::string_view kMagic = "millrace.log.v1\n";
constexpr int64_t kRecordHeader = 12;
constexpr int64_t kMaxPayload = int64_t{1} << 30;
constexpr int64_t kMapped = int64_t{1} << 36;  // addresses, not memory

uint32_t Crc32c(uint64_t crc, absl::string_view bytes) {
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  auto short_crc = static_cast<uint32_t>(crc);
  for (; n > 0; --n, ++p) short_crc = _mm_crc32_u8(short_crc, static_cast<uint8_t>(*p));
  return short_crc;
}

uint32_t Checksum(uint32_t type, uint32_t length, absl::string_view payload) {
  return ~Crc32c(_mm_crc32_u64(0xffffffffU, (uint64_t{type} << 32) | length), payload);
}

struct Flock {
  Flock(int fd, int operation) : fd(fd) {
    while (::flock(fd, operation) != 0 && errno == EINTR) {
    }
  }
  ~Flock() { ::flock(fd, LOCK_UN); }
  int fd;
};

// The record at `offset` of a file of `size` bytes mapped at `map`, or false: torn or absent.
bool ParseRecord(const char* map, int64_t size, int64_t offset, RecordLog::Record& record) {
  if (offset + kRecordHeader > size) return false;
  uint32_t header[3];
  std::memcpy(header, map + offset, sizeof(header));
  const auto [length, checksum, type] = header;
  if (type == 0 || length > kMaxPayload || offset + kRecordHeader + length > size) return false;
  record.type = type;
  record.offset = offset;
  record.payload = {map + offset + kRecordHeader, length};
  return Checksum(type, length, record.payload) == checksum;
}

}  // namespace

int64_t RecordLog::Batch::Add(uint32_t type, absl::string_view payload) {
  return Add(type, payload.size(), [&](char* to) { std::memcpy(to, payload.data(), payload.size()); });
}

int64_t RecordLog::Batch::Add(uint32_t type, size_t size, absl::FunctionRef<void(char*)> write) {
  const int64_t offset = bytes_.size();
  bytes_.resize(bytes_.size() + kRecordHeader + size);
  char* const payload = bytes_.data() + offset + kRecordHeader;
  write(payload);
  const auto length = static_cast<uint32_t>(size);
  const uint32_t header[3] = {length, Checksum(type, length, {payload, size}), type};
  std::memcpy(bytes_.data() + offset, header, sizeof(header));
  return offset;
}

absl::StatusOr<std::unique_ptr<RecordLog>> RecordLog::Open(std::string path) {
  std::unique_ptr<RecordLog> log(new RecordLog(std::move(path), /*writable=*/true));
  RETURN_IF_ERROR(log->OpenFile());
  return log;
}

absl::StatusOr<std::unique_ptr<RecordLog>> RecordLog::OpenForReading(std::string path) {
  std::unique_ptr<RecordLog> log(new RecordLog(std::move(path), /*writable=*/false));
  RETURN_IF_ERROR(log->OpenFile());
  return log;
}

RecordLog::~RecordLog() { CloseFile(); }

void RecordLog::CloseFile() {
  if (map_ != nullptr) ::munmap(const_cast<char*>(map_), kMapped);
  if (fd_ >= 0) ::close(fd_);
  map_ = nullptr;
  fd_ = -1;
}

absl::Status RecordLog::OpenFile() {
  const int flags = writable_ ? O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC : O_RDONLY | O_CLOEXEC;
  fd_ = ::open(path_.c_str(), flags, 0666);
  if (fd_ < 0 && errno == ENOENT && writable_) {
    RETURN_IF_ERROR(CreateDirectories(path_.substr(0, path_.rfind('/'))));
    fd_ = ::open(path_.c_str(), flags, 0666);
  }
  if (fd_ < 0) return ErrnoError(errno, "open", path_);
  void* map = ::mmap(nullptr, kMapped, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  if (map == MAP_FAILED) return ErrnoError(errno, "map", path_);
  map_ = static_cast<const char*>(map);
  visited_ = 0;
  struct stat s;
  if (::fstat(fd_, &s) != 0) return ErrnoError(errno, "stat", path_);
  const size_t there = std::min<int64_t>(s.st_size, kMagic.size());
  if (absl::string_view(map_, there) != kMagic.substr(0, there)) {
    return absl::DataLossError(absl::StrCat(path_, " is not a log of Millrace\n  fix: move it away"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> RecordLog::ReopenIfReplaced(const std::function<void()>& on_replaced) {
  struct stat at_path, open;
  if (::fstat(fd_, &open) != 0) return ErrnoError(errno, "stat", path_);
  if (::stat(path_.c_str(), &at_path) == 0 && at_path.st_ino == open.st_ino && at_path.st_dev == open.st_dev)
    return false;
  CloseFile();
  RETURN_IF_ERROR(OpenFile());
  if (on_replaced != nullptr) on_replaced();
  return true;
}

absl::Status RecordLog::VisitNew(const Visitor& visit) {
  struct stat s;
  if (::fstat(fd_, &s) != 0) return ErrnoError(errno, "stat", path_);
  if (visited_ == 0) {
    if (s.st_size < static_cast<int64_t>(kMagic.size())) return absl::OkStatus();
    visited_ = kMagic.size();
  }
  Record record;
  while (ParseRecord(map_, s.st_size, visited_, record)) {
    visited_ += kRecordHeader + static_cast<int64_t>(record.payload.size());
    if (visit != nullptr) visit(record);
  }
  return absl::OkStatus();
}

absl::Status RecordLog::Refresh(const Visitor& visit, const std::function<void()>& on_replaced) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(ReopenIfReplaced(on_replaced).status());
  struct stat s;
  if (::fstat(fd_, &s) != 0) return ErrnoError(errno, "stat", path_);
  if (s.st_size <= visited_) return absl::OkStatus();
  // A writer that cuts a torn end off would take pages from under the reader.
  const Flock file_lock(fd_, LOCK_SH);
  return VisitNew(visit);
}

// Cuts a torn end off, then writes; a write that the disk has no room for is taken back.
absl::Status RecordLog::WriteAtEnd(absl::string_view bytes) {
  struct stat s;
  if (::fstat(fd_, &s) != 0) return ErrnoError(errno, "stat", path_);
  if (visited_ == 0) {
    if (s.st_size > 0 && ::ftruncate(fd_, 0) != 0) return ErrnoError(errno, "truncate", path_);
    if (::write(fd_, kMagic.data(), kMagic.size()) != static_cast<ssize_t>(kMagic.size())) {
      const int error = errno;
      [[maybe_unused]] const int taken_back = ::ftruncate(fd_, 0);
      return ErrnoError(error == 0 ? ENOSPC : error, "write", path_);
    }
    visited_ = kMagic.size();
  } else if (s.st_size > visited_ && ::ftruncate(fd_, visited_) != 0) {
    return ErrnoError(errno, "truncate", path_);
  }
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      [[maybe_unused]] const int taken_back = ::ftruncate(fd_, visited_);
      return ErrnoError(error, "write", path_);
    }
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> RecordLog::WriteLocked(const Visitor& visit, absl::FunctionRef<absl::string_view()> bytes,
                                               const std::function<void()>& on_replaced) {
  std::lock_guard lock(mutex_);
  while (true) {
    const Flock file_lock(fd_, LOCK_EX);
    ASSIGN_OR_RETURN(const bool replaced, ReopenIfReplaced(on_replaced));
    if (replaced) continue;  // the old file was locked in vain
    RETURN_IF_ERROR(VisitNew(visit));
    const absl::string_view batch = bytes();
    if (batch.empty()) return -1;
    const int64_t offset = visited_ == 0 ? kMagic.size() : visited_;
    RETURN_IF_ERROR(WriteAtEnd(batch));
    if (visit == nullptr) {
      visited_ = offset + static_cast<int64_t>(batch.size());
    } else {
      RETURN_IF_ERROR(VisitNew(visit));
    }
    return offset;
  }
}

absl::StatusOr<int64_t> RecordLog::Update(const Visitor& visit, const std::function<Batch()>& make,
                                          const std::function<void()>& on_replaced) {
  Batch batch;
  const auto bytes = [&]() -> absl::string_view {
    batch = make();
    return batch.bytes();
  };
  return WriteLocked(visit, bytes, on_replaced);
}

absl::Status RecordLog::Append(const Batch& batch) {
  return WriteLocked(
             nullptr, [&]() -> absl::string_view { return batch.bytes(); }, nullptr)
      .status();
}

absl::Status RecordLog::Replace(const Batch& batch) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(WriteFileAtomic(path_, absl::StrCat(kMagic, batch.bytes())));
  CloseFile();
  return OpenFile();
}

absl::Status RecordLog::View(int64_t offset, const std::function<void(const Record&)>& use) {
  std::shared_lock lock(mutex_);
  if (offset < 0 || offset >= visited_) return absl::NotFoundError(absl::StrCat(path_, ": no record at ", offset));
  Record record;
  if (!ParseRecord(map_, visited_, offset, record))
    return absl::DataLossError(absl::StrCat(path_, ": the record at ", offset, " is damaged"));
  use(record);
  return absl::OkStatus();
}

absl::StatusOr<std::string> RecordLog::At(int64_t offset) {
  std::string payload;
  RETURN_IF_ERROR(
      View(offset, [&](const Record& record) { payload.assign(record.payload.data(), record.payload.size()); }));
  return payload;
}

int64_t RecordLog::size_bytes() {
  std::shared_lock lock(mutex_);
  struct stat s;
  return ::fstat(fd_, &s) == 0 ? s.st_size : 0;
}

}  // namespace millrace
