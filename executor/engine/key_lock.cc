#include "executor/engine/key_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace millrace {
namespace {

int Set(int fd, short type, int64_t offset) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = offset;
  lock.l_len = 1;
  return ::fcntl(fd, F_OFD_SETLK, &lock);
}

}  // namespace

std::unique_ptr<KeyLock> KeyLock::Open(const std::string& path) {
  return std::unique_ptr<KeyLock>(new KeyLock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)));
}

KeyLock::~KeyLock() {
  if (fd_ >= 0) ::close(fd_);
}

KeyLock::Held::~Held() {
  if (lock_ != nullptr) Set(lock_->fd_, F_UNLCK, offset_);
}

absl::optional<KeyLock::Held> KeyLock::Try(const Digest& key) {
  int64_t offset;
  std::memcpy(&offset, key.bytes.data(), sizeof(offset));
  offset &= INT64_MAX >> 1;
  if (fd_ >= 0 && Set(fd_, F_WRLCK, offset) != 0 && (errno == EAGAIN || errno == EACCES)) return absl::nullopt;
  return Held(this, offset);
}

}  // namespace millrace
