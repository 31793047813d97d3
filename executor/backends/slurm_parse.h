// What Slurm's commands print, read: pure functions. Tried with the output of 22.05; what newer versions print
// otherwise, as far as known, is in the tests.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_PARSE_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_PARSE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace millrace {

enum class SlurmState {
  kPending,
  kRunning,      // has its nodes: also CONFIGURING, SUSPENDED, SIGNALING, STAGE_OUT...
  kCompleting,   // its processes are being ended
  kRequeued,     // put back into the queue after it had begun: REQUEUED, REQUEUE_HOLD, SPECIAL_EXIT
  kCompleted,    // exit status 0
  kFailed,       // another one
  kCancelled,    // by someone
  kTimeout,      // at the job's limit: TIMEOUT, DEADLINE
  kPreempted,    // its nodes went to another job
  kNodeFail,     // a node went: NODE_FAIL, BOOT_FAIL, LAUNCH_FAILED, RECONFIG_FAIL
  kOutOfMemory,  // a process was ended for want of memory
  kUnknown,
};

// Whether the job is still in the queue or on nodes.
bool IsActive(SlurmState state);
// Of a word as squeue's %T and sacct's State print it: "RUNNING", "CANCELLED by 1000", "CANCELLED+".
SlurmState ParseSlurmState(absl::string_view word);

// The tasks of a job array: "7", "0-3,9%2", "0-8:2". `truncated`: it ends in "...", there are more.
struct SlurmTasks {
  std::vector<int> index;  // empty: not an array
  bool truncated = false;
};
absl::optional<SlurmTasks> ParseSlurmTasks(absl::string_view text);

struct SlurmJobLine {
  std::string job;  // without the task: "17"
  SlurmTasks tasks;
  SlurmState state = SlurmState::kUnknown;
  std::string word;    // of the state, as printed
  std::string nodes;   // "mr[1-2]"; empty while pending
  std::string name;    // squeue only
  std::string reason;  // squeue only: "Priority", "JobHeldAdmin"
};

// squeue --noheader --format=kSqueueFormat. Lines that are none are left out.
inline constexpr absl::string_view kSqueueFormat = "%F|%K|%T|%N|%j|%r";
std::vector<SlurmJobLine> ParseSqueue(absl::string_view output);

// sacct --noheader --parsable2 --allocations --format=kSacctFormat.
inline constexpr absl::string_view kSacctFormat = "JobID,State,NodeList";
std::vector<SlurmJobLine> ParseSacct(absl::string_view output);

// sbatch --parsable: "17", "17;cluster". Absent: not a job's number.
absl::optional<std::string> ParseSbatch(absl::string_view output);

// scontrol show config.
struct SlurmConfig {
  int max_array_size = 1001;  // indices are smaller
  bool accounting = false;    // sacct works
  std::string version;
};
SlurmConfig ParseSlurmConfig(absl::string_view output);

// Why a command failed, by what it wrote to stderr.
enum class SlurmFailure {
  kAway,       // the controller (or munge) does not answer: jobs go on, ask again later
  kBusy,       // it asks for less
  kQueueFull,  // of the user's or account's jobs
  kNoSuchJob,
  kNoAccounting,
  kRefused,  // asking again will not help
};
SlurmFailure ClassifySlurmFailure(absl::string_view error);

// Reasons of pending jobs that wait for a person, not for their turn.
bool IsHeld(absl::string_view reason);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_PARSE_H_
