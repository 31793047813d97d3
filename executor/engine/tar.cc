#include "executor/engine/tar.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kNameBytes = 100, kPrefixBytes = 155;
constexpr size_t kSizeAt = 124, kSumAt = 148, kTypeAt = 156, kMagicAt = 257, kPrefixAt = 345;
constexpr int64_t kMaxOctalSize = (int64_t{1} << 33) - 1;
constexpr int64_t kMaxInMemory = int64_t{1} << 30;

void Put(char* header, size_t at, absl::string_view text) { std::memcpy(header + at, text.data(), text.size()); }

uint32_t SumOf(const char* header) {
  uint32_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i)
    sum += i >= kSumAt && i < kSumAt + 8 ? ' ' : static_cast<unsigned char>(header[i]);
  return sum;
}

int64_t Octal(const char* field, size_t size) {
  int64_t value = 0;
  for (size_t i = 0; i < size && field[i] != '\0'; ++i) {
    if (field[i] >= '0' && field[i] <= '7') value = value * 8 + (field[i] - '0');
  }
  return value;
}

int64_t SizeIn(const char* header) {
  const char* field = header + kSizeAt;
  if ((field[0] & 0x80) == 0) return Octal(field, 12);
  int64_t value = 0;
  for (int i = 4; i < 12; ++i) value = value << 8 | static_cast<unsigned char>(field[i]);
  return value;
}

std::string TextIn(const char* field, size_t size) { return std::string(field, ::strnlen(field, size)); }

}  // namespace

absl::StatusOr<std::unique_ptr<TarWriter>> TarWriter::Create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoError(errno, "create", path);
  return std::unique_ptr<TarWriter>(new TarWriter(fd));
}

TarWriter::~TarWriter() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status TarWriter::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write", "the archive");
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status TarWriter::AddHeader(const std::string& name, int64_t size_bytes) {
  char header[kBlock] = {};
  std::string base = name, prefix;
  if (base.size() > kNameBytes) {
    const size_t slash = name.find('/', name.size() - kNameBytes - 1);
    if (slash == std::string::npos || slash > kPrefixBytes)
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is too long a name for a tar archive"));
    prefix = name.substr(0, slash);
    base = name.substr(slash + 1);
  }
  Put(header, 0, base);
  Put(header, 100, "0000644");
  Put(header, 108, "0000000");
  Put(header, 116, "0000000");
  if (size_bytes <= kMaxOctalSize) {
    Put(header, kSizeAt, absl::StrFormat("%011o", size_bytes));
  } else {
    header[kSizeAt] = static_cast<char>(0x80);
    for (int i = 0; i < 8; ++i) header[kSizeAt + 11 - i] = static_cast<char>(size_bytes >> (8 * i) & 0xff);
  }
  Put(header, 136, "00000000000");
  header[kTypeAt] = '0';
  Put(header, kMagicAt, absl::string_view("ustar\00000", 8));
  Put(header, kPrefixAt, prefix);
  Put(header, kSumAt, absl::StrFormat("%06o", SumOf(header)));
  header[kSumAt + 7] = ' ';
  return Write({header, kBlock});
}

absl::Status TarWriter::Pad(int64_t size_bytes) {
  const size_t over = static_cast<size_t>(size_bytes % kBlock);
  return over == 0 ? absl::OkStatus() : Write(std::string(kBlock - over, '\0'));
}

absl::Status TarWriter::Add(const std::string& name, absl::string_view content) {
  RETURN_IF_ERROR(AddHeader(name, static_cast<int64_t>(content.size())));
  RETURN_IF_ERROR(Write(content));
  return Pad(static_cast<int64_t>(content.size()));
}

absl::Status TarWriter::AddFile(const std::string& name, const std::string& path, int64_t size_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  absl::Status status = AddHeader(name, size_bytes);
  std::string buffer(1 << 20, '\0');
  int64_t left = size_bytes;
  while (status.ok() && left > 0) {
    const ssize_t n = ::read(fd, buffer.data(), std::min<int64_t>(left, buffer.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = ErrnoError(errno, "read", path);
    if (n == 0) status = absl::DataLossError(absl::StrCat(path, " became shorter while it was read"));
    if (n <= 0) break;
    status = Write({buffer.data(), static_cast<size_t>(n)});
    left -= n;
  }
  ::close(fd);
  RETURN_IF_ERROR(status);
  return Pad(size_bytes);
}

absl::Status TarWriter::Close() {
  RETURN_IF_ERROR(Write(std::string(2 * kBlock, '\0')));
  const int error = ::fsync(fd_) != 0 && errno != EINVAL ? errno : 0;  // EINVAL: a pipe
  ::close(fd_);
  fd_ = -1;
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "write", "the archive");
}

absl::StatusOr<std::unique_ptr<TarReader>> TarReader::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  return std::unique_ptr<TarReader>(new TarReader(fd));
}

TarReader::~TarReader() { ::close(fd_); }

absl::Status TarReader::ReadFully(char* to, size_t count) {
  while (count > 0) {
    const ssize_t n = ::read(fd_, to, count);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read", "the archive");
    if (n == 0) return absl::DataLossError("the archive breaks off");
    to += n;
    count -= n;
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::optional<TarReader::File>> TarReader::Next() {
  while (true) {
    char block[kBlock];
    for (int64_t skip = left_ + padding_; skip > 0;) {
      const auto n = static_cast<size_t>(std::min<int64_t>(skip, kBlock));
      RETURN_IF_ERROR(ReadFully(block, n));
      skip -= static_cast<int64_t>(n);
    }
    left_ = padding_ = 0;
    RETURN_IF_ERROR(ReadFully(block, kBlock));
    if (std::all_of(block, block + kBlock, [](char c) { return c == '\0'; })) return absl::optional<File>();
    if (std::memcmp(block + kMagicAt, "ustar", 5) != 0 || Octal(block + kSumAt, 8) != SumOf(block))
      return absl::DataLossError("this is no tar archive, or it is damaged");
    File file;
    const std::string prefix = TextIn(block + kPrefixAt, kPrefixBytes);
    file.name = absl::StrCat(prefix, prefix.empty() ? "" : "/", TextIn(block, kNameBytes));
    file.size_bytes = SizeIn(block);
    if (file.size_bytes < 0) return absl::DataLossError("a size in the archive is negative");
    left_ = file.size_bytes;
    padding_ = (kBlock - file.size_bytes % kBlock) % kBlock;
    if (block[kTypeAt] == '0' || block[kTypeAt] == '\0') return absl::optional<File>(std::move(file));
  }
}

absl::StatusOr<size_t> TarReader::Read(char* to, size_t room) {
  const auto n = static_cast<size_t>(std::min<int64_t>(left_, room));
  RETURN_IF_ERROR(ReadFully(to, n));
  left_ -= static_cast<int64_t>(n);
  return n;
}

absl::StatusOr<std::string> TarReader::ReadAll() {
  if (left_ > kMaxInMemory) return absl::DataLossError("a file of the archive is too large");
  std::string content(left_, '\0');
  RETURN_IF_ERROR(Read(content.data(), content.size()).status());
  return content;
}

}  // namespace millrace
