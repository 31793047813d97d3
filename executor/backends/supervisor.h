// The process under which all local stages live. It starts them, watches them, ends them at their limits, and outlives
// the executor just long enough to kill what it left behind: its end shows as the end of a socket, kill -9 or not.
//
// Each gang has a connection of its own (a SOCK_SEQPACKET pair): one request a rank, then cancel or kill, then one
// reply when all ranks have ended. A closed connection kills the gang.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SUPERVISOR_H_
#define MILLRACE_EXECUTOR_BACKENDS_SUPERVISOR_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct SpawnRequest {
  int32_t rank = 0;
  int32_t ranks = 1;              // the gang starts when all of its requests are there
  double time_limit_seconds = 0;  // 0: none
  double grace_seconds = 0;
  int64_t memory_bytes = 0;  // 0: no bound
  std::string work_folder;
  std::string log_path;
  std::vector<std::string> argument;
  std::vector<std::string> environment;

  std::string Serialize() const;
  static bool Parse(absl::string_view bytes, SpawnRequest& request);
};

// What the other messages begin with.
enum class SupervisorMessage : uint32_t {
  kSpawn = 1,   // followed by a SpawnRequest
  kCancel = 2,  // SIGTERM, then SIGKILL after the grace
  kKill = 3,
};

// The reply: this, then one RankReply a rank, then the message's text. When a rank has failed and others must be ended
// first, one with `ranks` 0 says so before.
struct GangReply {
  int32_t first_failed_rank = -1;
  int32_t ranks = 0;
  int32_t timed_out = 0;
  int32_t cancelled = 0;
  int32_t not_started = 0;  // errno of what failed; the text says what
  double seconds = 0;
};
struct RankReply {
  int32_t wait_status = 0;
  int64_t peak_memory_bytes = 0;
  double cpu_seconds = 0;
};

// Starts the supervisor; returns the control socket's end: a connection is made by sending its other end over it as
// SCM_RIGHTS. Forks and does not exec: call it while memory is small.
struct SupervisorProcess {
  pid_t pid = 0;
  int control_fd = -1;
};
absl::StatusOr<SupervisorProcess> StartSupervisor();

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SUPERVISOR_H_
