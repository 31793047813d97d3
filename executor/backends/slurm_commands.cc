#include "executor/backends/slurm_commands.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace millrace {
namespace {

// Secrets that the executor has in its environment stay there: sbatch stores a job's environment with the controller.
constexpr const char* kPassedOn[] = {"PATH",       "HOME",           "USER",         "LOGNAME",        "SLURM_CONF",
                                     "KRB5CCNAME", "SLURM_CLUSTERS", "MUNGE_SOCKET", "LD_LIBRARY_PATH"};

std::vector<std::string> Environment() {
  std::vector<std::string> environment = {"LC_ALL=C.UTF-8", "SLURM_BITSTR_LEN=0"};  // or arrays' tasks are cut off
  for (const char* name : kPassedOn) {
    if (const char* value = std::getenv(name); value != nullptr) environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

SlurmCommands::Result SlurmCommands::Run(const std::vector<std::string>& argument) {
  {
    std::lock_guard lock(mutex_);
    ++calls_[argument[0]];
  }
  Result result;
  const auto not_run = [&](int error) {
    result.error = absl::StrCat("start ", argument[0], ": ", std::strerror(error));
    result.failure = error == ENOENT || error == EACCES ? SlurmFailure::kRefused : SlurmFailure::kBusy;
    return result;
  };
  int pipes[2][2];
  if (::pipe2(pipes[0], O_CLOEXEC) != 0) return not_run(errno);
  if (::pipe2(pipes[1], O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(pipes[0][0]);
    ::close(pipes[0][1]);
    return not_run(error);
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, pipes[0][1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, pipes[1][1], 2);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  // A Ctrl-C at the terminal is for the executor.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const std::vector<std::string> environment = Environment();
  const std::string program = folder_.empty() ? argument[0] : absl::StrCat(folder_, "/", argument[0]);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, program.c_str(), &actions, &attributes, Pointers(argument).data(),
                                   Pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  ::close(pipes[0][1]);
  ::close(pipes[1][1]);
  if (error != 0) {
    ::close(pipes[0][0]);
    ::close(pipes[1][0]);
    return not_run(error);
  }

  const absl::Time deadline = absl::Now() + time_limit_;
  bool timed_out = false;
  struct pollfd polled[] = {{pipes[0][0], POLLIN, 0}, {pipes[1][0], POLLIN, 0}};
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) {
      timed_out = true;
      ::kill(-pid, SIGKILL);
      break;
    }
    ::poll(polled, 2, static_cast<int>(left));
    for (int i = 0; i < 2; ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      char buffer[1 << 16];
      const ssize_t n = ::read(polled[i].fd, buffer, sizeof(buffer));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        polled[i].fd = -1;
      } else {
        (i == 0 ? result.output : result.error).append(buffer, n);
      }
    }
  }
  ::close(pipes[0][0]);
  ::close(pipes[1][0]);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !timed_out) return result;
  result.error = std::string(absl::StripAsciiWhitespace(result.error));
  if (timed_out || WIFSIGNALED(status)) {
    result.failure = SlurmFailure::kAway;
    result.unsure = true;
    if (timed_out)
      absl::StrAppend(&result.error, argument[0], " had no answer after ", absl::FormatDuration(time_limit_));
    return result;
  }
  if (result.error.empty()) result.error = absl::StrCat(argument[0], " exited with status ", WEXITSTATUS(status));
  result.failure = ClassifySlurmFailure(result.error);
  result.unsure = *result.failure == SlurmFailure::kAway;
  return result;
}

std::map<std::string, int> SlurmCommands::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

int SlurmCommands::num_calls() const {
  std::lock_guard lock(mutex_);
  int sum = 0;
  for (const auto& [name, count] : calls_) sum += count;
  return sum;
}

}  // namespace millrace
