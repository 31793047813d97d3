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

// Whether the run goes on: its executor lives.
bool GoesOn(const std::string& home, const std::string& id);

struct StageOfRun {
  PastRun run;
  std::string stage;  // what it is called in that run
  std::string note;   // why it is another run, or another name, than was asked for; "" where it is not
};
// The stage of `run` with this name. Where `earlier` is true, a name that `run` does not have is looked for in the runs
// of the same pipeline before it: stages are renamed.
//   NotFound: no run has it, with the closest name.
absl::StatusOr<StageOfRun> FindStage(const std::string& home, PastRun run, const std::string& stage, bool earlier);
// The same, or, if the stage was cached there, the stage in the run that made it. NotFound: that run is gone, too.
absl::StatusOr<StageOfRun> FindOrigin(const std::string& home, StageOfRun found);

// The run that --run names by the start of its id, or the last one; of the pipeline file `file_shown`, unless that is
// empty. NotFound: there is none, with what to do.
absl::StatusOr<PastRun> FindRun(const std::string& home, const std::string& run, const std::string& file_shown);

// Gives cached training stages the speed curves of the runs that made them.
void AdoptTimesOfOrigins(const std::string& home, RunModel& model);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_PAST_RUNS_H_
