// Runs that are in the home, by their event logs.
#ifndef MILLRACE_EXECUTOR_CLI_PAST_RUNS_H_
#define MILLRACE_EXECUTOR_CLI_PAST_RUNS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "executor/observe/run_model.h"

namespace millrace {

struct PastRun {
  std::string id;
  std::string folder;
  RunModel model;
};

// Ids, the latest first.
std::vector<std::string> RunIds(const std::string& home);
// Reads a run's events. NotFound: there is no such run.
absl::StatusOr<PastRun> ReadRun(const std::string& home, const std::string& id);

// The run that --run names by the start of its id, or the last one; of the pipeline file `file_shown`, unless that is
// empty. NotFound: there is none, with what to do.
absl::StatusOr<PastRun> FindRun(const std::string& home, const std::string& run, const std::string& file_shown);

// Gives cached training stages the speed curves of the runs that made them.
void AdoptTimesOfOrigins(const std::string& home, RunModel& model);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_PAST_RUNS_H_
