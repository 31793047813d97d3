#include "executor/backends/ssh_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "executor/backends/frame.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kReady[] = "millrace-agent ready\n";
constexpr char kMissing[] = "millrace-agent missing ";
constexpr int64_t kLookAtStopMs = 200;
constexpr size_t kMaxNoise = 1 << 20;
constexpr size_t kMaxErrors = 8 << 10;
constexpr int kIllegalInstruction = 128 + SIGILL;

bool IsPlain(absl::string_view text, absl::string_view others) {
  return !text.empty() && text.front() != '-' && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || absl::StrContains(others, c);
  });
}

std::string ThisMachine() {
  struct utsname names;
  if (::uname(&names) != 0) return "";
  return absl::StrCat(names.sysname, " ", names.machine);
}

// What is left of ssh's words when notices and pictures are taken away: the last line that says something.
std::string LastLine(absl::string_view said) {
  std::string last;
  for (absl::string_view line : absl::StrSplit(said, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "@") || absl::StartsWith(line, "Connection to ") ||
        absl::StartsWith(line, "Killed by signal"))
      continue;
    last = std::string(line);
  }
  if (last.empty()) last = std::string(absl::StripAsciiWhitespace(said));
  return last;
}

}  // namespace

absl::StatusOr<AgentProgram> AgentProgram::Load(const std::string& path) {
  AgentProgram agent;
  ASSIGN_OR_RETURN(agent.content, ReadFile(path));
  agent.hex = Sha256Hex(agent.content);
  return agent;
}

absl::StatusOr<std::vector<std::string>> SshCommand(const SshOptions& options, const SshHost& host,
                                                    const AgentProgram& agent) {
  if (!IsPlain(host.name, "._-:") || (!host.address.empty() && !IsPlain(host.address, "._-:%")))
    return absl::InvalidArgumentError(absl::StrCat("host \"", host.name, "\": not a name that can be given to ssh"));
  if (!options.user.empty() && !IsPlain(options.user, "._-@+"))
    return absl::InvalidArgumentError(absl::StrCat("user \"", options.user, "\": not a name that can be given to ssh"));
  absl::string_view folder = options.work_dir;
  const bool in_home = absl::ConsumePrefix(&folder, "~/");
  if (!IsPlain(folder, "._-/+") || (!in_home && folder.front() != '/') || absl::StrContains(folder, "..")) {
    return absl::InvalidArgumentError(absl::StrCat("work_dir \"", options.work_dir,
                                                   "\": not the path of a folder on the hosts\n"
                                                   "  fix: begin with / or ~/, then letters, digits and . _ - + /"));
  }
  std::vector<std::string> command = options.command;
  const auto add = [&](absl::string_view option) { command.insert(command.end(), {"-o", std::string(option)}); };
  command.insert(command.end(), {"-T", "-x", "-a"});
  if (!options.config.empty()) command.insert(command.end(), {"-F", options.config});
  if (!options.user.empty()) command.insert(command.end(), {"-l", options.user});
  if (host.port > 0) command.insert(command.end(), {"-p", absl::StrCat(host.port)});
  if (!host.address.empty()) add(absl::StrCat("HostName=", host.address));
  for (const char* option :
       {"BatchMode=yes", "StrictHostKeyChecking=yes", "ServerAliveInterval=5", "ServerAliveCountMax=3",
        "ClearAllForwardings=yes", "PermitLocalCommand=no", "RemoteCommand=none", "RequestTTY=no", "ControlMaster=no",
        "EscapeChar=none", "LogLevel=INFO"})
    add(option);
  add(absl::StrCat("ConnectTimeout=", std::max<int64_t>(1, absl::ToInt64Seconds(options.connect_time))));
  command.insert(command.end(), {"--", host.name});
  // For any login shell: one line, without quotes, exclamation marks and newlines inside.
  command.push_back(absl::StrCat(
      "exec sh -c 'umask 077; d=\"", in_home ? "$HOME/" : "", folder, "/", host.name, "\"; a=\"$d/agent/", agent.hex,
      "\"; if [ ! -x \"$a\" ]; then echo \"", kMissing, "$(uname -s) $(uname -m)\"; mkdir -p \"$d/agent\" && head -c ",
      agent.content.size(), " >\"$a.$$\" && chmod 700 \"$a.$$\" && \"$a.$$\" is ", agent.hex,
      " && mv \"$a.$$\" \"$a\" || { s=$?; rm -f \"$a.$$\"; exit $s; }; fi; exec \"$a\" connect \"$d\"'"));
  return command;
}

absl::Status ExplainSsh(const std::string& host, int exit_status, absl::string_view said) {
  const auto has = [&](absl::string_view text) { return absl::StrContains(said, text); };
  const auto make = [&](absl::StatusCode code, absl::string_view what, absl::string_view why, absl::string_view fix) {
    return absl::Status(code, absl::StrCat("host \"", host, "\": ", what, "\n  why: ", why, "\n  fix: ", fix));
  };
  const std::string last = LastLine(said);
  constexpr auto kUser = absl::StatusCode::kFailedPrecondition;
  constexpr auto kCluster = absl::StatusCode::kUnavailable;
  if (has("No space left on device") || has("Disk quota exceeded")) {
    return make(absl::StatusCode::kResourceExhausted, "its disk is full", last,
                "free some space there, or choose another `work_dir`");
  }
  if (exit_status != 255 && exit_status > 0) {
    if (exit_status == kIllegalInstruction) {
      return make(kUser, "its processor is too old", "Millrace's programs need AVX2 (x86-64-v3)",
                  "leave this host out of the pool");
    }
    if (has("Exec format error")) {
      return make(kUser, "Millrace's programs do not run there", last,
                  "use hosts with this machine's kind of processor (x86-64) and Linux");
    }
    if (exit_status == 126) {
      return make(kUser, "programs may not be run in its work_dir", last,
                  "choose a `work_dir` on a file system that is not mounted noexec");
    }
    return make(kUser, absl::StrCat("the agent could not be started (exit status ", exit_status, ")"),
                last.empty() ? "its shell did not say" : last, absl::StrCat("see that `ssh ", host, "` gives a shell"));
  }
  if (has("Could not resolve hostname")) {
    const bool for_now = has("Temporary failure");
    return make(for_now ? kCluster : kUser, "there is no host of this name", last,
                "write its `address` into the cluster file, or name it in ssh's configuration");
  }
  if (has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("has changed and you have requested strict checking")) {
    return make(kUser, "its host key is not the one that is known",
                "it was set up anew, or another machine answers in its place; such a key is never accepted",
                absl::StrCat("find out which; if it is right, `ssh-keygen -R ", host, "` and log in once by hand"));
  }
  if (has("Host key verification failed") || has("host key is known for")) {
    return make(kUser, "its host key is not known", last,
                absl::StrCat("log in once by hand (`ssh ", host, "`), or put its key into known_hosts"));
  }
  if (has("Permission denied") || has("Too many authentication failures") || has("Host-based authentication")) {
    return make(kUser, "the login was refused", last,
                absl::StrCat("make `ssh ", host, " true` work without a password: a key in ssh-agent, or without one"));
  }
  if (has("Bad configuration option") || has("Can't open user config file") || has("no argument after keyword") ||
      has("terminating, ")) {
    return make(kUser, "ssh's configuration is wrong", last, "correct it, then try `ssh` by hand");
  }
  if (has("Connection refused")) {
    return make(kCluster, "it refuses connections", last,
                "start the SSH server there; check `ssh_port` and the firewall");
  }
  if (has("timed out") || has("not responding") || has("No route to host") || has("unreachable")) {
    return make(kCluster, "it does not answer", last, "see whether it is up, and what is between it and this machine");
  }
  return make(kCluster, "the connection was lost", last.empty() ? "ssh did not say" : last,
              "see whether it is up; ssh's own words are above");
}

SshProcess::~SshProcess() {
  if (socket_ >= 0) ::close(socket_);
  if (error_fd_ >= 0) ::close(error_fd_);
  Reap(absl::ZeroDuration());
}

absl::Status SshProcess::Spawn(const std::vector<std::string>& command) {
  int sockets[2], errors[2], failed[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return ErrnoError(errno, "make a socket for", "ssh");
  socket_ = sockets[0];
  if (::pipe2(errors, O_CLOEXEC) != 0 || ::pipe2(failed, O_CLOEXEC) != 0) {
    ::close(sockets[1]);
    return ErrnoError(errno, "make a pipe for", "ssh");
  }
  error_fd_ = errors[0];
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    // In a session of its own: a Ctrl-C at the terminal is the executor's, and there is nobody to ask.
    ::setsid();
    ::dup2(sockets[1], 0);
    ::dup2(sockets[1], 1);
    ::dup2(errors[1], 2);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execvp(arguments[0], arguments.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t n = ::write(failed[1], &error, sizeof(error));
    ::_exit(127);
  }
  const int fork_error = errno;
  ::close(sockets[1]);
  ::close(errors[1]);
  ::close(failed[1]);
  int error = 0;
  const bool exec_failed = pid_ > 0 && ::read(failed[0], &error, sizeof(error)) == sizeof(error);
  ::close(failed[0]);
  if (pid_ < 0) {
    pid_ = 0;
    return ErrnoError(fork_error, "fork", "ssh");
  }
  if (exec_failed) {
    return absl::FailedPreconditionError(absl::StrCat("cannot run ", command[0], ": ", std::strerror(error),
                                                      "\n  fix: install OpenSSH's client (openssh-client)"));
  }
  const struct timeval patience = {30, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  return absl::OkStatus();
}

bool SshProcess::ReadErrors() {
  char buffer[4096];
  const ssize_t n = ::read(error_fd_, buffer, sizeof(buffer));
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  errors_.append(buffer, n);
  if (errors_.size() > kMaxErrors) errors_.erase(0, errors_.size() - kMaxErrors);
  return true;
}

absl::Status SshProcess::Connect(const SshOptions& options, const SshHost& host, const AgentProgram& agent,
                                 const std::atomic<bool>& stop) {
  ASSIGN_OR_RETURN(const std::vector<std::string> command, SshCommand(options, host, agent));
  RETURN_IF_ERROR(Annotate(Spawn(command), absl::StrCat("host \"", host.name, "\"")));
  // ssh has its own limit for connecting; this one is for a host that lets one in and says nothing.
  auto deadline = Clock::now() + absl::ToChronoSeconds(3 * options.connect_time);
  std::string text;
  bool sent = false, errors_open = true;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    struct pollfd polled[2] = {{socket_, POLLIN, 0}, {errors_open ? error_fd_ : -1, POLLIN, 0}};
    const int ready = ::poll(polled, 2, static_cast<int>(std::clamp<int64_t>(left, 0, kLookAtStopMs)));
    if (stop) return absl::CancelledError("the executor ends");
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0 && left > 0) continue;
    if (ready <= 0) return End(host.name, "it was reached, and then said nothing: the connection timed out");
    if (polled[1].revents != 0) errors_open = ReadErrors();
    if (polled[0].revents == 0) continue;
    char buffer[4096];
    const ssize_t n = ::recv(socket_, buffer, sizeof(buffer), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return End(host.name, "");
    text.append(buffer, n);
    // Before it, the host's shell may say all kinds of things.
    if (const size_t at = text.find(kReady); at != std::string::npos) {
      first_bytes_ = text.substr(at + std::strlen(kReady));
      return absl::OkStatus();
    }
    const size_t at = text.find(kMissing);
    const size_t end = at == std::string::npos ? at : text.find('\n', at);
    if (!sent && end != std::string::npos) {
      const std::string machine = text.substr(at + std::strlen(kMissing), end - at - std::strlen(kMissing));
      if (machine != ThisMachine()) {
        return absl::FailedPreconditionError(
            absl::StrCat("host \"", host.name, "\": Millrace's programs do not run there\n  why: it is ", machine,
                         ", they are for ", ThisMachine(), "\n  fix: leave this host out of the pool"));
      }
      // An error shows as what the host's shell says.
      WriteWhole(socket_, agent.content).IgnoreError();
      sent = true;
      deadline = Clock::now() + absl::ToChronoSeconds(3 * options.connect_time);
    }
    if (text.size() > kMaxNoise) return End(host.name, "its shell prints too much when it starts");
  }
}

// The exit status; -1: it had to be killed.
int SshProcess::Reap(absl::Duration wait) {
  if (pid_ == 0) return -1;
  const auto deadline = Clock::now() + absl::ToChronoMilliseconds(wait);
  int status = 0;
  bool ended;
  while (!(ended = ::waitpid(pid_, &status, WNOHANG) == pid_) && Clock::now() < deadline)
    absl::SleepFor(absl::Milliseconds(5));
  if (!ended) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
  }
  pid_ = 0;
  return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

absl::Status SshProcess::End(const std::string& host, absl::string_view why) {
  if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
  // One that has said why is not ended for ours.
  int status = Reap(why.empty() ? absl::Seconds(2) : absl::ZeroDuration());
  if (error_fd_ >= 0) {
    // Others may hold it open: a master connection of the user's.
    ::fcntl(error_fd_, F_SETFL, O_NONBLOCK);
    while (ReadErrors()) {
    }
  }
  if (!why.empty()) {
    status = -1;
    absl::StrAppend(&errors_, "\n", why);
  }
  return ExplainSsh(host, status, errors_);
}

}  // namespace millrace
