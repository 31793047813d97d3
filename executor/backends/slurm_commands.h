// Runs Slurm's commands and counts them: each is a request to a controller that thousands share.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_COMMANDS_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_COMMANDS_H_

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "executor/backends/slurm_parse.h"

namespace millrace {

// Thread-safe.
class SlurmCommands {
 public:
  // Commands are looked for in `folder`, or in PATH if it is empty.
  explicit SlurmCommands(std::string folder, absl::Duration time_limit = absl::Seconds(90))
      : folder_(std::move(folder)), time_limit_(time_limit) {}

  struct Result {
    std::string output;
    std::string error;                     // what it wrote to stderr, or why it could not be started
    absl::optional<SlurmFailure> failure;  // absent: exit status 0
    // It may have done what it was asked for all the same: it was ended, or lost its connection.
    bool unsure = false;
  };
  // `argument[0]`: "sbatch". The environment is little: what a job gets to see of this machine's.
  Result Run(const std::vector<std::string>& argument);

  // How often each was run.
  std::map<std::string, int> calls() const;
  int num_calls() const;

 private:
  const std::string folder_;
  const absl::Duration time_limit_;
  mutable std::mutex mutex_;
  std::map<std::string, int> calls_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_COMMANDS_H_
