// One run of OpenSSH's client that ends in a conversation with the agent on a host.
//
// The user's configuration, agent, jump hosts and known_hosts count. It never asks (BatchMode), and a host key that is
// not the known one is never accepted, whatever the configuration says.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SSH_PROCESS_H_
#define MILLRACE_EXECUTOR_BACKENDS_SSH_PROCESS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace millrace {

struct SshHost {
  std::string name;     // of the cluster file: what ssh is told
  std::string address;  // may be empty: the name, or what ssh's configuration says of it
  int port = 0;         // 0: likewise
};

struct SshOptions {
  std::vector<std::string> command = {"ssh"};
  std::string user;                      // empty: what ssh's configuration says
  std::string config;                    // as `ssh -F`; empty: the user's own
  std::string work_dir = "~/.millrace";  // on the hosts; each has a folder with its name there
  absl::Duration connect_time = absl::Seconds(10);
};

// The program that is sent where it is missing.
struct AgentProgram {
  std::string content;
  std::string hex;  // SHA-256

  static absl::StatusOr<AgentProgram> Load(const std::string& path);
};

// InvalidArgument: a name or folder that could be taken for something else by a shell or ssh.
absl::StatusOr<std::vector<std::string>> SshCommand(const SshOptions& options, const SshHost& host,
                                                    const AgentProgram& agent);

// What went wrong, by what ssh or the host's shell said; `exit_status` is that of ssh, -1 if it had to be ended.
// FailedPrecondition: no use to try again: unknown host, refused login, unknown or changed host key, another processor.
// ResourceExhausted: its disk is full. Unavailable: the rest.
absl::Status ExplainSsh(const std::string& host, int exit_status, absl::string_view said);

// Not thread-safe.
class SshProcess {
 public:
  SshProcess() = default;
  ~SshProcess();
  SshProcess(const SshProcess&) = delete;
  SshProcess& operator=(const SshProcess&) = delete;

  // Returns when the agent listens; the bytes from then on are the conversation's. Cancelled: because of `stop`.
  absl::Status Connect(const SshOptions& options, const SshHost& host, const AgentProgram& agent,
                       const std::atomic<bool>& stop);
  // Ends ssh and says what it said, as ExplainSsh(); `why` if it said nothing.
  absl::Status End(const std::string& host, absl::string_view why);

  int socket() const { return socket_; }
  int error_fd() const { return error_fd_; }
  // Takes what has come on error_fd(). False: nothing more will.
  bool ReadErrors();
  // What came behind the greeting.
  std::string TakeFirstBytes() { return std::move(first_bytes_); }

 private:
  absl::Status Spawn(const std::vector<std::string>& command);
  int Reap(absl::Duration wait);

  pid_t pid_ = 0;
  int socket_ = -1;
  int error_fd_ = -1;
  std::string errors_;
  std::string first_bytes_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SSH_PROCESS_H_
