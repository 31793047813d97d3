// Stages as jobs of a Slurm cluster, submitted from a machine where sbatch works. The nodes see the home under the same
// name as this machine does (the cluster file's storage.shared_path): nothing is copied.
//
// A gang of several ranks is a job of its own, with srun inside. Gangs of one rank that ask for the same and come
// within a short while become one job array. A program on the node (slurm_node.cc) starts the ranks, gives them exactly
// the given environment (and CUDA_VISIBLE_DEVICES as Slurm says, for stages with GPUs), keeps the stage's own time
// limit, and writes down how each rank ended; Slurm is asked only for what such a file cannot say.
//
// How many calls of Slurm's commands: one sbatch a gang or array; one squeue a tick, whatever the number of jobs, where
// ticks grow longer with the time there is work (kTick of slurm.cc); one more where a job has gone without a word, and
// one sacct for those that the controller has forgotten. No more jobs are in the queue than max_jobs_in_queue, no more
// sbatch in a minute than submissions_per_minute. Where the controller does not answer or asks for less, all calls wait
// with growing intervals, and the jobs go on.
//
// Jobs are told from each other by name, "millrace-<gang's id>-<random>", and never requeued in place: a gang that lost
// its nodes to another job ends as kPreempted, and a new one, with clean folders, goes on from the last checkpoint.
// There is never a second copy: see `claim` in slurm_node_files.h.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_H_

#include <map>
#include <memory>
#include <string>

#include "executor/backends/backend.h"
#include "pipelines/schema/cluster.pb.h"

namespace millrace {

class SlurmClerk;

struct SlurmOptions {
  Cluster cluster;
  std::string folder;    // absolute, on the shared file system: "<home>/slurm"
  std::string commands;  // where sbatch and the others are; empty: in PATH
  double haste = 1;      // tests: all intervals are divided by it
};

// How gangs end, beside what backend.h says:
//   kTimeSlice   the pool's time_limit, or the partition's, was near: SIGTERM came signal_before_limit before it
//   kPreempted   preempted, or put back into the queue after it had begun
//   kCancelled   by us, or with a message by someone else
//   kNotStarted  sbatch refuses the job (message: what it said), or a rank's program cannot be started
//   Unavailable (from Wait) a node failed, or the job came to nothing for reasons of the cluster's
// While the controller is away Wait waits; a warning is handed on once.
class SlurmBackend : public Backend {
 public:
  // FailedPrecondition: the folder cannot be used.
  static absl::StatusOr<std::unique_ptr<SlurmBackend>> Create(SlurmOptions options);
  // Its gangs are destroyed before it.
  ~SlurmBackend() override;

  // Returns at once; what Slurm says to it is learned from Wait().
  absl::StatusOr<std::unique_ptr<Gang>> Submit(const GangSpec& spec) override;
  bool gangs_outlive_executor() const override { return true; }
  // Unavailable: whether there is such a job cannot be told as long as the controller does not answer.
  absl::StatusOr<std::unique_ptr<Gang>> Adopt(const GangSpec& spec) override;

  // How often each of Slurm's commands was called.
  std::map<std::string, int> calls() const;

 private:
  explicit SlurmBackend(std::unique_ptr<SlurmClerk> clerk);
  std::unique_ptr<SlurmClerk> clerk_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_H_
