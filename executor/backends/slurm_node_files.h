// The files by which the executor and the program on a node (slurm_node.cc) talk, in a folder that both see. Plain
// standard C++: the program is linked statically and runs on any node.
//
//   <batch>/job.sh            the batch script, as given to sbatch
//   <batch>/list              one gang a line: the path of its spec; an array's task takes the line of its index
//   <batch>/claim.<index>     who has the gang: "run <job id>" by the node, "revoked" by the executor. It is made with
//                             link(), so one of them wins: a job that comes to life late, or twice, runs nothing
//   <work>/slurm.spec         what to run: GangOrder
//   <work>/slurm.result       how it ended, renamed into place: NodeReport. Without it nothing is known of the end
//   <work>/slurm.cancel       the executor wants the gang's end: while it is there SIGTERM means the gang's own grace;
//                             without it SIGTERM is the signal before a limit, or a preemption. SIGUSR1: SIGKILL now
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_NODE_FILES_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_NODE_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

inline constexpr char kSlurmSpecFile[] = "slurm.spec";
inline constexpr char kSlurmResultFile[] = "slurm.result";
inline constexpr char kSlurmCancelFile[] = "slurm.cancel";

struct GangOrder {
  std::string work_folder;
  int32_t ranks = 1;
  double time_limit_seconds = 0;    // 0: none
  double grace_seconds = 10;        // between SIGTERM and SIGKILL
  double slice_grace_seconds = 10;  // the same, where SIGTERM says that the cluster wants its machines back
  int64_t memory_bytes = 0;         // address space of each rank; 0: no bound
  bool torchrun_variables = false;
  bool gpus = false;      // CUDA_VISIBLE_DEVICES is Slurm's to say
  std::string gang_json;  // "{...}": each rank's file is this with its rank and addresses
  std::vector<std::string> log_path;
  std::vector<std::string> argument;
  std::vector<std::string> environment;

  // "name=value" with a zero byte after each.
  std::string Serialize() const;
  static bool Parse(const std::string& bytes, GangOrder& order);
};

struct NodeReport {
  struct Rank {
    int32_t exit_status = -1;  // -1: by a signal, or never started
    int32_t signal = 0;
    int64_t peak_memory_bytes = 0;
    double cpu_seconds = 0;
    bool killed = false;  // by SIGKILL from us: the grace was over

    std::string Serialize() const;  // in one line
    static bool Parse(const std::string& text, Rank& rank);
  };
  std::string job;   // "17" or "17_4"
  std::string node;  // of rank 0
  double seconds = 0;
  int32_t first_failed_rank = -1;
  bool timed_out = false;
  // SIGTERM came from outside: a cancel, the signal before the limit, a preemption.
  bool terminated = false;
  double terminated_after_seconds = 0;
  // It ran before and was put back into the queue; it did not start again.
  bool requeued = false;
  std::string not_started;  // why a rank could not be started
  std::string lost;         // ranks have gone without a word: what srun did
  std::vector<Rank> rank;

  // Lines; the last one is "end".
  std::string Serialize() const;
  static bool Parse(const std::string& text, NodeReport& report);
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_NODE_FILES_H_
