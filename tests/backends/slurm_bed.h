// A real Slurm cluster of three nodes on this machine (tests/testbed/slurm.sh), for tests.
#ifndef MILLRACE_TESTS_BACKENDS_SLURM_BED_H_
#define MILLRACE_TESTS_BACKENDS_SLURM_BED_H_

#include <string>

#include "absl/status/statusor.h"
#include "executor/backends/slurm.h"

namespace millrace {

class SlurmCluster {
 public:
  // Not empty: why there can be none here, and what to do.
  static std::string SkipReason();

  // Starts it. `prefix` and `net` tell it from other beds on this machine: "ms", "10.78.0". Waits while another process
  // has one of this name; ends what such a process has left that was killed.
  SlurmCluster(std::string prefix, std::string net);
  ~SlurmCluster();

  // Of starting it.
  const absl::Status& status() const { return status_; }
  // A folder that all nodes see.
  const std::string& folder() const { return folder_; }
  // A pool "cpu" with partition main; Slurm's commands run on the first node.
  SlurmOptions Options() const;
  // slurm.sh with this command line; its output without the last newline. An empty text and a failed test if it fails.
  std::string Bed(const std::string& command_line) const;
  // The nodes of the jobs that run, as Slurm writes them: "ms[1-2]".
  std::string NodesInUse() const { return Bed("run squeue -h -t RUNNING -o %N"); }

 private:
  std::string folder_, script_, bin_;
  int lock_ = -1;
  absl::Status status_;
};

}  // namespace millrace

#endif  // MILLRACE_TESTS_BACKENDS_SLURM_BED_H_
