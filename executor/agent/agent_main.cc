// millrace-agent connect FOLDER   bridges stdin and stdout to the agent of that folder; starts it if there is none
// millrace-agent is DIGEST        exit status 0: this program's SHA-256 is that
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/sha256.h"
#include "executor/agent/agent.h"

namespace millrace {
namespace {

int Fail(absl::string_view message) {
  std::fprintf(stderr, "millrace-agent: %.*s\n", static_cast<int>(message.size()), message.data());
  return 3;
}

int Is(absl::string_view digest) {
  const absl::StatusOr<std::string> program = ReadFile("/proc/self/exe");
  return program.ok() && Sha256Hex(*program) == digest ? 0 : Fail("it did not arrive whole");
}

int ConnectToSocket() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "socket");
  if (fd >= 0 && ::connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof(address)) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

// Becomes the agent, in a session of its own; `ready` hears how it went: nothing, or what failed.
[[noreturn]] void BecomeAgent(int ready) {
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  // The ssh session's descriptors and whatever else came along.
  ::dup2(ready, 3);
  ::close_range(4, ~0U, 0);
  ::fcntl(3, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_NAME, "millrace-agent");
  absl::StatusOr<std::unique_ptr<Agent>> agent = Agent::Start();
  if (!agent.ok() && !absl::IsAlreadyExists(agent.status())) {
    const std::string message(agent.status().message());
    [[maybe_unused]] const ssize_t n = ::write(3, message.data(), message.size());
  }
  ::close(3);
  if (agent.ok()) (*agent)->Run();
  if (agent.ok()) agent->reset();
  ::_exit(0);
}

// Returns what failed, or "".
std::string StartAgent() {
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) return std::strerror(errno);
  const pid_t pid = ::fork();
  if (pid < 0) return std::strerror(errno);
  if (pid == 0) BecomeAgent(ready[1]);
  ::close(ready[1]);
  ::waitpid(pid, nullptr, 0);
  std::string message;
  char buffer[1024];
  for (ssize_t n; (n = ::read(ready[0], buffer, sizeof(buffer))) > 0;) message.append(buffer, n);
  ::close(ready[0]);
  return message;
}

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= n;
  }
  return true;
}

int Connect(const char* folder) {
  ::umask(077);
  if (const absl::Status made = CreateDirectories(folder); !made.ok()) return Fail(made.message());
  if (::chdir(folder) != 0) return Fail(ErrnoError(errno, "enter", folder).message());
  std::signal(SIGPIPE, SIG_IGN);
  int agent = ConnectToSocket();
  for (int i = 0; agent < 0 && i < 50; ++i) {
    if (const std::string failed = StartAgent(); !failed.empty()) return Fail(failed);
    agent = ConnectToSocket();
    // Another one was quicker, and does not listen yet; or the last one is just leaving.
    if (agent < 0) ::usleep(100'000);
  }
  if (agent < 0) return Fail("the agent on this host does not answer");
  constexpr absl::string_view kReady = "millrace-agent ready\n";
  if (!WriteAll(1, kReady.data(), kReady.size())) return 0;
  std::vector<char> buffer(1 << 18);
  const auto carry = [&](int from, int to) {
    const ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) return true;
    return n > 0 && WriteAll(to, buffer.data(), n);
  };
  while (true) {
    struct pollfd polled[2] = {{0, POLLIN, 0}, {agent, POLLIN, 0}};
    if (::poll(polled, 2, -1) < 0 && errno != EINTR) return 3;
    if (polled[0].revents != 0 && !carry(0, agent)) return 0;
    if (polled[1].revents != 0 && !carry(agent, 1)) return 0;
  }
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  const absl::string_view verb = argc == 3 ? argv[1] : "";
  if (verb == "is") return millrace::Is(argv[2]);
  if (verb == "connect") return millrace::Connect(argv[2]);
  std::fprintf(stderr, "usage: millrace-agent connect FOLDER | is DIGEST\n");
  return 2;
}
