#include "executor/backends/overwrite.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {

absl::Status OverwriteFile(const std::string& path, absl::string_view content) {
  int fd = ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat s = {};
  int64_t old_size = 0;
  if (fd >= 0 && ::fstat(fd, &s) == 0) old_size = s.st_size;
  if (fd >= 0 && (!S_ISREG(s.st_mode) || s.st_nlink != 1)) {
    ::close(fd);
    fd = -1;
  }
  if (fd < 0) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) RETURN_IF_ERROR(RemoveTree(path));
    fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  }
  if (fd < 0) return ErrnoError(errno, "create", path);
  int error = 0;
  const auto size = static_cast<int64_t>(content.size());
  while (error == 0 && !content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno != EINTR) error = errno;
    if (n > 0) content.remove_prefix(n);
  }
  // Not before writing: ext4 would write a file that had been cut to nothing to the disk when it is closed.
  if (error == 0 && old_size > size && ::ftruncate(fd, size) != 0) error = errno;
  ::close(fd);
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "write", path);
}

}  // namespace millrace
