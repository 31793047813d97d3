// For tests: lying_cache.py as a child process, on loopback.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_LYING_CACHE_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_LYING_CACHE_H_

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/file.h"

namespace millrace {

class LyingCache {
 public:
  // `folder`: new; blobs lie in <folder>/cas, entries in <folder>/ac.
  explicit LyingCache(const std::string& folder) : folder_(folder) {
    CreateDirectories(folder).IgnoreError();
    int in[2], out[2];
    if (::pipe(in) != 0 || ::pipe(out) != 0) std::abort();
    const std::string log = LogPath();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      ::execlp("python3", "python3", "executor/cas/remote/lying_cache.py", folder.c_str(), log.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    stdin_ = in[1];
    char digit;
    while (::read(out[0], &digit, 1) == 1 && digit != '\n') port_ += digit;
    ::close(out[0]);
  }
  ~LyingCache() { Stop(); }
  LyingCache(const LyingCache&) = delete;
  LyingCache& operator=(const LyingCache&) = delete;

  void Stop() {
    if (pid_ <= 0) return;
    ::close(stdin_);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::string Url(const std::string& mode) const { return "http://127.0.0.1:" + port_ + "/" + mode; }
  // Where it keeps a blob.
  std::string BlobPath(const std::string& hex) const { return folder_ + "/cas/" + hex; }
  std::string LogPath() const { return folder_ + "/log"; }
  // A line for each request so far.
  std::string Log() const { return ReadFile(LogPath()).value_or(""); }

 private:
  const std::string folder_;
  pid_t pid_ = -1;
  int stdin_ = -1;
  std::string port_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_LYING_CACHE_H_
