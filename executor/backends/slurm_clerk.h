// The one thread that talks to Slurm for all gangs of a SlurmBackend: gathers what is submitted into arrays, keeps to
// the bounds, asks for all jobs' states at once, and waits where the controller does not answer.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_CLERK_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_CLERK_H_

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "executor/backends/slurm.h"
#include "executor/backends/slurm_commands.h"
#include "executor/backends/slurm_parse.h"
#include "executor/backends/slurm_script.h"

namespace millrace {

struct SlurmBatch;

// What is known of one gang. Constant until the clerk has it, then guarded by the clerk's mutex.
struct SlurmRecord {
  enum class Phase {
    kWaiting,     // to be submitted
    kSubmitting,  // sbatch has not said yes or no
    kInQueue,     // Slurm has it: `state`
    kGone,        // not in the queue any more: `state` is the last one
    kRefused,     // `message` says why
    kWithdrawn,   // cancelled before it was submitted
  };
  // Each is told when the one before has not helped: SIGTERM, SIGKILL by the program on the node, the end of the job.
  enum class Wish { kNone, kCancel, kKill, kEnd };

  std::string stage, id, work_folder;
  SlurmRequest request;
  absl::Duration grace;

  Phase phase = Phase::kWaiting;
  std::string message;
  std::shared_ptr<SlurmBatch> batch;
  int index = 0;  // in the batch: the array's task
  SlurmState state = SlurmState::kPending;
  std::string word;       // the state as Slurm says it: "CANCELLED by 1000"
  std::string nodes;      // where it runs or ran
  bool began = false;     // was seen on nodes
  bool requeued = false;  // put back into the queue after that
  absl::Time gone_at = absl::InfiniteFuture();
  absl::Time verdict_wanted_at = absl::InfiniteFuture();
  Wish wish = Wish::kNone, done = Wish::kNone;  // of the canceller, and what Slurm was told
  absl::Time told_at = absl::InfiniteFuture();
  std::string warning;  // to be handed on
  bool warned = false;
  bool open = true;       // someone waits for its end
  bool in_queue = false;  // counts for max_jobs_in_queue
};

// One job: an array's tasks, or one gang. Constant but for what the clerk's mutex guards.
struct SlurmBatch {
  std::string name, folder;
  bool array = false;
  std::string job;  // its number; empty: not known yet
  std::map<int, std::shared_ptr<SlurmRecord>> member;
  int num_open = 0;
  bool unsure = false;  // sbatch may have been heard
  int refusals = 0;
  absl::Time submitted_at = absl::InfiniteFuture();
};

// "17" or "17_4".
std::string JobOf(const SlurmRecord& record);

// Thread-safe.
class SlurmClerk {
 public:
  // `program`: the path of slurm_node.
  SlurmClerk(SlurmOptions options, std::string program);
  ~SlurmClerk();

  void Submit(std::shared_ptr<SlurmRecord> record);
  // Finds the job that an executor before this one has submitted for the record's id and working folder. False: there
  // is none, and there will be none.
  absl::StatusOr<bool> Adopt(const std::shared_ptr<SlurmRecord>& record);

  // A copy of what is known; hands a warning out once.
  SlurmRecord Look(SlurmRecord& record);
  // Slurm's word on how it ended is needed: asks soon.
  void WantVerdict(SlurmRecord& record);
  void Cancel(const std::shared_ptr<SlurmRecord>& record, SlurmRecord::Wish wish);
  // Nobody waits for it any more; its batch's files go with the last one.
  void Close(SlurmRecord& record);
  // Jobs that come later stay away from this node.
  void Avoid(const std::string& node);

  const SlurmOptions& options() const { return options_; }
  std::map<std::string, int> calls() const { return commands_.calls(); }
  absl::Duration Scaled(absl::Duration duration) const { return duration / options_.haste; }

 private:
  using Lock = std::unique_lock<std::mutex>;

  void Loop();
  void LearnConfig(Lock& lock);
  void SubmitNext(Lock& lock);
  std::shared_ptr<SlurmBatch> MakeBatch();
  absl::Status WriteBatch(const SlurmBatch& batch);
  void SendBatch(Lock& lock);
  void Accepted(SlurmBatch& batch, std::string job);
  void Refused(const std::string& why);
  void SendCancels(Lock& lock);
  void AskStates(Lock& lock);
  void TakeLine(SlurmRecord& record, const SlurmJobLine& line);
  void SetGone(SlurmRecord& record, SlurmState state, absl::string_view word);
  void RemoveOldFolders(const std::vector<SlurmJobLine>& lines, Lock& lock);
  bool Heard(const SlurmCommands::Result& result);  // false: the controller is away or busy
  absl::Duration Busy() const;
  bool StatesAreDue() const;

  const SlurmOptions options_;
  const std::string program_;
  SlurmCommands commands_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::deque<std::shared_ptr<SlurmRecord>> waiting_;
  absl::Time waiting_since_ = absl::InfiniteFuture();
  std::shared_ptr<SlurmBatch> unsent_;                          // being submitted
  std::map<std::string, std::shared_ptr<SlurmBatch>> by_job_;   // with open members
  std::map<std::string, std::shared_ptr<SlurmBatch>> adopted_;  // by name
  std::vector<std::shared_ptr<SlurmRecord>> cancelling_;
  std::vector<std::string> to_end_;  // jobs
  std::set<std::string> avoided_;
  std::deque<absl::Time> submissions_;  // of the last minute
  absl::Time busy_since_ = absl::InfiniteFuture();
  absl::Time asked_at_ = absl::InfinitePast();
  int num_open_ = 0, num_in_queue_ = 0;
  int num_verdicts_ = 0;
  int max_batch_;
  bool knows_config_ = false, old_folders_removed_ = false;
  SlurmConfig config_;

  int num_failures_ = 0;
  absl::Time failing_since_ = absl::InfiniteFuture(), paused_until_ = absl::InfinitePast();
  std::string warning_;
  bool warned_ = false;

  std::thread thread_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_CLERK_H_
