// One thread around poll(): the control socket, a connection for each gang, and SIGCHLD as a file descriptor. All
// signals are blocked, so that a Ctrl-C at the terminal or a SIGTERM for the executor is the executor's to answer.
//
// Ranks lead process groups of their own. What a stage leaves behind in its group is killed when the rank ends; what
// left the group (setsid) becomes a child of the supervisor, a subreaper, and is known by HOME in its environment.
#include "executor/backends/supervisor.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace millrace {
namespace {

constexpr double kNever = 1e300;
constexpr size_t kMaxMessage = 1 << 20;

double Now() {
  struct timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <typename T>
void AppendNumber(T number, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void AppendText(absl::string_view text, std::string& bytes) {
  AppendNumber(static_cast<uint32_t>(text.size()), bytes);
  bytes.append(text.data(), text.size());
}

template <typename T>
bool TakeNumber(absl::string_view& bytes, T& number) {
  if (bytes.size() < sizeof(number)) return false;
  std::memcpy(&number, bytes.data(), sizeof(number));
  bytes.remove_prefix(sizeof(number));
  return true;
}

bool TakeText(absl::string_view& bytes, std::string& text) {
  uint32_t size;
  if (!TakeNumber(bytes, size) || bytes.size() < size) return false;
  text.assign(bytes.data(), size);
  bytes.remove_prefix(size);
  return true;
}

bool TakeTexts(absl::string_view& bytes, std::vector<std::string>& texts) {
  uint32_t count;
  if (!TakeNumber(bytes, count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (!TakeText(bytes, texts.emplace_back())) return false;
  }
  return true;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What the child of a vfork() needs, made before: it may not allocate.
struct Child {
  const char* work_folder;
  const char* log_path;
  char** argument;
  char** environment;
  rlim_t memory_bytes;
  int null_fd;
  // Written by the child, whose memory this is.
  volatile int error = 0;
  const char* volatile failed = "";
};

[[noreturn]] void BecomeStage(Child& child) {
  const auto fail = [&](const char* what) {
    child.error = errno;
    child.failed = what;
    ::_exit(127);
  };
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (child.memory_bytes != RLIM_INFINITY) {
    const struct rlimit limit = {child.memory_bytes, child.memory_bytes};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) fail("bound the memory of");
  }
  const int log = ::open(child.log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (log < 0) fail("open the log of");
  if (::dup2(child.null_fd, 0) < 0 || ::dup2(log, 1) < 0 || ::dup2(log, 2) < 0) fail("connect the log of");
  if (::chdir(child.work_folder) != 0) fail("enter the working folder of");
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(child.argument[0], child.argument, child.environment);
  fail("start");
  ::_exit(127);
}

__attribute__((noinline)) pid_t SpawnChild(Child& child) {
  const pid_t pid = ::vfork();
  if (pid == 0) BecomeStage(child);
  return pid;
}

struct SupervisedGang {
  int fd = -1;
  bool connected = true;
  std::vector<SpawnRequest> requests;
  std::vector<pid_t> pids;  // 0: not running
  std::vector<RankReply> replies;
  GangReply result;
  std::string message;
  bool started = false;
  int running = 0;
  double started_at = 0;
  double time_limit_at = kNever;
  double kill_at = kNever;

  void Reset() {
    *this = [this] {
      SupervisedGang fresh;
      fresh.fd = fd;
      fresh.connected = connected;
      return fresh;
    }();
  }
};

class Supervisor {
 public:
  explicit Supervisor(int control_fd) : control_fd_(control_fd) {}

  void Run() {
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    signal_fd_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    null_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_NAME, "millrace-stages");
    ::umask(022);
    while (!(gone_ && gangs_.empty())) Turn();
    EndOrphans(nullptr);
  }

 private:
  void Turn() {
    std::vector<struct pollfd> polled = {{signal_fd_, POLLIN, 0}, {gone_ ? -1 : control_fd_, POLLIN, 0}};
    for (const auto& gang : gangs_) polled.push_back({gang->connected ? gang->fd : -1, POLLIN, 0});
    double next = kNever;
    for (const auto& gang : gangs_) next = std::min({next, gang->time_limit_at, gang->kill_at});
    const int timeout = next == kNever ? -1 : std::max(0, static_cast<int>(1000 * (next - Now())) + 1);
    if (::poll(polled.data(), polled.size(), timeout) < 0 && errno != EINTR) ::_exit(3);
    // New gangs come behind those that were polled.
    for (size_t i = 2; i < polled.size(); ++i) {
      if (polled[i].revents != 0) Receive(*gangs_[i - 2]);
    }
    if (polled[1].revents != 0) Accept();
    if (polled[0].revents != 0) Reap();
    const double now = Now();
    for (const auto& gang : gangs_) {
      if (now >= gang->time_limit_at) {
        gang->time_limit_at = kNever;
        gang->result.timed_out = 1;
        Terminate(*gang);
      }
      if (now >= gang->kill_at) {
        gang->kill_at = kNever;
        Signal(*gang, SIGKILL);
      }
    }
    gangs_.erase(std::remove_if(gangs_.begin(), gangs_.end(),
                                [](const auto& gang) {
                                  const bool done = !gang->connected && gang->running == 0;
                                  if (done) ::close(gang->fd);
                                  return done;
                                }),
                 gangs_.end());
  }

  void Accept() {
    char byte;
    struct iovec part = {&byte, 1};
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t n = ::recvmsg(control_fd_, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      gone_ = true;
      for (const auto& gang : gangs_) Disconnect(*gang);
      return;
    }
    for (struct cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      gangs_.push_back(std::make_unique<SupervisedGang>());
      std::memcpy(&gangs_.back()->fd, CMSG_DATA(c), sizeof(int));
    }
  }

  void Disconnect(SupervisedGang& gang) {
    gang.connected = false;
    Signal(gang, SIGKILL);
  }

  void Receive(SupervisedGang& gang) {
    buffer_.resize(kMaxMessage);
    const ssize_t n = ::recv(gang.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return Disconnect(gang);
    absl::string_view bytes(buffer_.data(), n);
    SupervisorMessage kind;
    if (!TakeNumber(bytes, kind)) return;
    switch (kind) {
      case SupervisorMessage::kSpawn: {
        SpawnRequest request;
        if (!SpawnRequest::Parse(bytes, request)) return Disconnect(gang);
        gang.requests.push_back(std::move(request));
        if (static_cast<int>(gang.requests.size()) == gang.requests.front().ranks) Start(gang);
        break;
      }
      case SupervisorMessage::kCancel:
        if (gang.running > 0) gang.result.cancelled = 1;
        Terminate(gang);
        break;
      case SupervisorMessage::kKill:
        if (gang.running > 0) gang.result.cancelled = 1;
        Signal(gang, SIGKILL);
        break;
    }
  }

  void Start(SupervisedGang& gang) {
    gang.started = true;
    gang.started_at = Now();
    const SpawnRequest& first = gang.requests.front();
    if (first.time_limit_seconds > 0) gang.time_limit_at = gang.started_at + first.time_limit_seconds;
    gang.replies.resize(first.ranks);
    gang.pids.resize(first.ranks, 0);
    for (const SpawnRequest& request : gang.requests) {
      std::vector<char*> argument = Pointers(request.argument), environment = Pointers(request.environment);
      Child child = {request.work_folder.c_str(),
                     request.log_path.c_str(),
                     argument.data(),
                     environment.data(),
                     request.memory_bytes > 0 ? static_cast<rlim_t>(request.memory_bytes) : RLIM_INFINITY,
                     null_fd_};
      const pid_t pid = SpawnChild(child);
      const int error = pid < 0 ? errno : child.error;
      if (error != 0) {
        if (pid > 0) ::waitpid(pid, nullptr, 0);
        gang.result.not_started = error;
        gang.message = absl::StrCat(pid < 0 ? "make a process for" : child.failed, " ", request.argument[0], ": ",
                                    std::strerror(error));
        Signal(gang, SIGKILL);
        break;
      }
      gang.pids[request.rank] = pid;
      by_pid_[pid] = {&gang, request.rank};
      ++gang.running;
    }
    if (gang.running == 0) Finish(gang);
  }

  static void Signal(const SupervisedGang& gang, int signal) {
    for (const pid_t pid : gang.pids) {
      if (pid != 0) ::kill(-pid, signal);
    }
  }

  static void Terminate(SupervisedGang& gang) {
    if (gang.running == 0) return;
    Signal(gang, SIGTERM);
    gang.kill_at = std::min(gang.kill_at, Now() + gang.requests.front().grace_seconds);
  }

  void Reap() {
    struct signalfd_siginfo info[16];
    while (::read(signal_fd_, info, sizeof(info)) > 0) {
    }
    while (true) {
      siginfo_t ended = {};
      if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return;
      const pid_t pid = ended.si_pid;
      const auto found = by_pid_.find(pid);
      // Its group is killed while the pid is still taken.
      if (found != by_pid_.end()) ::kill(-pid, SIGKILL);
      int status = 0;
      struct rusage usage = {};
      if (::wait4(pid, &status, 0, &usage) != pid || found == by_pid_.end()) continue;
      const auto [gang, rank] = found->second;
      by_pid_.erase(found);
      RankReply& reply = gang->replies[rank];
      reply.wait_status = status;
      reply.peak_memory_bytes = int64_t{usage.ru_maxrss} * 1024;
      reply.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                          1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
      gang->pids[rank] = 0;
      --gang->running;
      if (status != 0 && gang->result.first_failed_rank < 0) {
        gang->result.first_failed_rank = rank;
        Terminate(*gang);
        if (gang->running > 0 && gang->connected)
          ::send(gang->fd, &gang->result, sizeof(gang->result), MSG_NOSIGNAL | MSG_DONTWAIT);
      }
      if (gang->running == 0) Finish(*gang);
    }
  }

  void Finish(SupervisedGang& gang) {
    EndOrphans(&gang);
    gang.result.ranks = static_cast<int32_t>(gang.replies.size());
    gang.result.seconds = Now() - gang.started_at;
    std::string bytes;
    AppendNumber(gang.result, bytes);
    for (const RankReply& reply : gang.replies) AppendNumber(reply, bytes);
    bytes += gang.message;
    if (gang.connected && ::send(gang.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) gang.connected = false;
    gang.Reset();
  }

  // Kills the children that a stage left to the supervisor: those of `gang`, or all.
  void EndOrphans(const SupervisedGang* gang) {
    const std::string list = absl::StrCat("/proc/self/task/", ::syscall(SYS_gettid), "/children");
    bool again = true;
    for (int round = 0; again && round < 100; ++round) {
      again = false;
      char text[4096];
      const int fd = ::open(list.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) return;
      const ssize_t n = ::read(fd, text, sizeof(text) - 1);
      ::close(fd);
      if (n <= 0) return;
      text[n] = '\0';
      for (char* p = text; *p != '\0';) {
        const pid_t pid = static_cast<pid_t>(std::strtol(p, &p, 10));
        while (*p == ' ') ++p;
        if (pid <= 0) break;
        if (by_pid_.contains(pid)) continue;
        if (gang != nullptr) {
          const absl::StatusOr<std::string> environment = ReadFile(absl::StrCat("/proc/", pid, "/environ"));
          const std::string home =
              absl::StrCat("HOME=", gang->requests.front().work_folder, absl::string_view("\0", 1));
          if (environment.ok() && environment->empty() && ::waitpid(pid, nullptr, WNOHANG) == 0) {
            // In the middle of an exec a process has none: look again.
            ::usleep(1000);
            again = true;
            continue;
          }
          if (!environment.ok() || !absl::StrContains(*environment, home)) continue;
        }
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        again = true;
      }
    }
  }

  const int control_fd_;
  int signal_fd_ = -1;
  int null_fd_ = -1;
  bool gone_ = false;  // the executor
  std::vector<std::unique_ptr<SupervisedGang>> gangs_;
  std::map<pid_t, std::pair<SupervisedGang*, int>> by_pid_;
  std::vector<char> buffer_;
};

}  // namespace

std::string SpawnRequest::Serialize() const {
  std::string bytes;
  AppendNumber(SupervisorMessage::kSpawn, bytes);
  AppendNumber(rank, bytes);
  AppendNumber(ranks, bytes);
  AppendNumber(time_limit_seconds, bytes);
  AppendNumber(grace_seconds, bytes);
  AppendNumber(memory_bytes, bytes);
  AppendText(work_folder, bytes);
  AppendText(log_path, bytes);
  for (const std::vector<std::string>* texts : {&argument, &environment}) {
    AppendNumber(static_cast<uint32_t>(texts->size()), bytes);
    for (const std::string& text : *texts) AppendText(text, bytes);
  }
  return bytes;
}

bool SpawnRequest::Parse(absl::string_view bytes, SpawnRequest& request) {
  return TakeNumber(bytes, request.rank) && TakeNumber(bytes, request.ranks) &&
         TakeNumber(bytes, request.time_limit_seconds) && TakeNumber(bytes, request.grace_seconds) &&
         TakeNumber(bytes, request.memory_bytes) && TakeText(bytes, request.work_folder) &&
         TakeText(bytes, request.log_path) && TakeTexts(bytes, request.argument) &&
         TakeTexts(bytes, request.environment) && request.ranks > 0 && request.rank >= 0 &&
         request.rank < request.ranks && !request.argument.empty();
}

absl::StatusOr<SupervisorProcess> StartSupervisor() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoError(errno, "make a socket for", "the supervisor of stages");
  const pid_t pid = ::fork();
  if (pid < 0) {
    const int error = errno;
    ::close(fds[0]);
    ::close(fds[1]);
    return ErrnoError(error, "fork", "the supervisor of stages");
  }
  if (pid == 0) {
    ::setsid();
    // Nothing of the executor's stays open: not its terminal's pipes, not its end of the socket.
    const int control = ::fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
    if (control > 3) ::close_range(3, control - 1, 0);
    ::close_range(control + 1, ~0U, 0);
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    if (null > 2) ::close(null);
    [[maybe_unused]] const int moved = ::chdir("/");
    Supervisor(control).Run();
    ::_exit(0);
  }
  ::close(fds[1]);
  return SupervisorProcess{pid, fds[0]};
}

}  // namespace millrace
