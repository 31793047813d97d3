#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write", path);
    }
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ErrnoError(int error, absl::string_view action, absl::string_view path) {
  const std::string message = absl::StrCat(action, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
      return absl::ResourceExhaustedError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::FailedPreconditionError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case EIO:
      return absl::DataLossError(message);
    default:
      return absl::InternalError(message);
  }
}

std::string JoinPath(absl::string_view a, absl::string_view b) {
  if (a.empty()) return std::string(b);
  if (b.empty()) return std::string(a);
  if (b.front() == '/') return std::string(b);
  return a.back() == '/' ? absl::StrCat(a, b) : absl::StrCat(a, "/", b);
}

absl::string_view BaseName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? path : path.substr(slash + 1);
}

bool FileExists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool IsDirectory(const std::string& path) {
  struct stat s;
  return ::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  struct stat s;
  std::string content;
  if (::fstat(fd, &s) == 0 && s.st_size > 0) content.reserve(s.st_size);
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::close(fd);
      return ErrnoError(error, "read", path);
    }
    if (n == 0) break;
    content.append(buffer, n);
  }
  ::close(fd);
  return content;
}

absl::Status WriteFile(const std::string& path, absl::string_view content) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoError(errno, "create", path);
  absl::Status status = WriteAll(fd, content, path);
  if (::close(fd) != 0 && status.ok()) status = ErrnoError(errno, "close", path);
  return status;
}

absl::Status WriteFileAtomic(const std::string& path, absl::string_view content) {
  static std::atomic<int> counter = 0;
  const std::string aside = absl::StrCat(path, ".", ::getpid(), ".", counter++, ".tmp");
  absl::Status status = WriteFile(aside, content);
  if (status.ok()) status = RenameFile(aside, path);
  if (!status.ok()) ::unlink(aside.c_str());
  return status;
}

absl::Status CreateDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error && !IsDirectory(path)) return ErrnoError(error.value(), "create folder", path);
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return absl::OkStatus();
  for (fs::recursive_directory_iterator it(path, fs::directory_options::skip_permission_denied, error), end; it != end;
       it.increment(error)) {
    if (error) break;
    if (it->is_directory(error) && !it->is_symlink(error))
      fs::permissions(it->path(), fs::perms::owner_all, fs::perm_options::add, error);
  }
  fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, error);
  fs::remove_all(path, error);
  if (error) return ErrnoError(error.value(), "remove", path);
  return absl::OkStatus();
}

absl::Status RenameFile(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoError(errno, absl::StrCat("rename ", from, " to"), to);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::follow_directory_symlink, error);
  if (error) return ErrnoError(error.value(), "list", folder);
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) return ErrnoError(error.value(), "list", folder);
    if (it->is_regular_file(error)) files.push_back(it->path().lexically_relative(folder).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat s;
  if (::stat(path.c_str(), &s) != 0) return ErrnoError(errno, "stat", path);
  return s.st_size;
}

std::string TempRoot() {
  for (const char* name : {"TEST_TMPDIR", "TMPDIR"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "/tmp";
}

absl::StatusOr<std::string> MakeTempDirectory(absl::string_view prefix) {
  std::string path = JoinPath(TempRoot(), absl::StrCat(prefix, ".XXXXXX"));
  if (::mkdtemp(path.data()) == nullptr) return ErrnoError(errno, "create folder", path);
  return path;
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  struct stat s;
  if (::fstat(fd, &s) != 0) {
    const int error = errno;
    ::close(fd);
    return ErrnoError(error, "stat", path);
  }
  MappedFile file;
  if (s.st_size > 0) {
    void* data = ::mmap(nullptr, s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      const int error = errno;
      ::close(fd);
      return ErrnoError(error, "map", path);
    }
    file.data_ = static_cast<const char*>(data);
    file.size_ = s.st_size;
  }
  ::close(fd);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

absl::StatusOr<FileWriter> FileWriter::Create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoError(errno, "create", path);
  return FileWriter(fd, path);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      buffer_(std::move(other.buffer_)),
      size_bytes_(other.size_bytes_),
      status_(std::move(other.status_)) {}

FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void FileWriter::Append(absl::string_view bytes) {
  size_bytes_ += bytes.size();
  buffer_.append(bytes.data(), bytes.size());
  if (buffer_.size() >= (1 << 18)) Flush();
}

void FileWriter::Flush() {
  if (status_.ok()) status_ = WriteAll(fd_, buffer_, path_);
  buffer_.clear();
}

absl::Status FileWriter::Close() {
  if (fd_ < 0) return status_;
  Flush();
  if (::close(std::exchange(fd_, -1)) != 0 && status_.ok()) status_ = ErrnoError(errno, "close", path_);
  return status_;
}

}  // namespace millrace
