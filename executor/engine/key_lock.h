// Two executors on one home, or on one file system that machines share: while one makes an action, the other waits for
// its result, or takes over when it dies.
//
// A lock is on one byte of one file, at an offset that the action's key gives: nothing is left behind, and it goes with
// the process that has it. (Open file description locks, fcntl(2); a supervisor that was started meanwhile keeps it
// until its stages have ended.)
#ifndef MILLRACE_EXECUTOR_ENGINE_KEY_LOCK_H_
#define MILLRACE_EXECUTOR_ENGINE_KEY_LOCK_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/types/optional.h"
#include "executor/cas/digest.h"

namespace millrace {

// Thread-safe. One process asks for a key once at a time.
class KeyLock {
 public:
  // Where the file system has no locks all are free: who makes the same twice gets the same.
  static std::unique_ptr<KeyLock> Open(const std::string& path);
  ~KeyLock();
  KeyLock(const KeyLock&) = delete;
  KeyLock& operator=(const KeyLock&) = delete;

  class Held {
   public:
    Held(Held&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)), offset_(other.offset_) {}
    Held& operator=(Held&& other) noexcept {
      std::swap(lock_, other.lock_);
      std::swap(offset_, other.offset_);
      return *this;
    }
    ~Held();

   private:
    friend class KeyLock;
    Held(KeyLock* lock, int64_t offset) : lock_(lock), offset_(offset) {}
    KeyLock* lock_;
    int64_t offset_;
  };
  // Nothing: another process has it.
  absl::optional<Held> Try(const Digest& key);

 private:
  explicit KeyLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_KEY_LOCK_H_
