// One run of a pipeline with its progress on stderr: what `run`, `expect` and `reproduce` share.
#ifndef MILLRACE_EXECUTOR_CLI_LIVE_RUN_H_
#define MILLRACE_EXECUTOR_CLI_LIVE_RUN_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "executor/cli/command.h"
#include "executor/engine/engine.h"
#include "executor/observe/run_model.h"

namespace millrace {

struct LiveRun {
  std::unique_ptr<Engine> engine;
  RunResult result;
  RunModel model;
  bool something_ran = false;
};

// Runs until the end or until SIGINT or SIGTERM: the first ends stages in order, the second kills them. Errors are
// printed; `exit_status` then has what to return.
absl::StatusOr<LiveRun> RunLive(const CommandContext& context, const ResolvedPipeline& pipeline,
                                const EngineOptions& options, const std::string& header, int& exit_status);

// The last lines of a run, for stdout: what was evaluated, how many stages ran, where the report is.
std::string RunSummary(const CommandContext& context, const ResolvedPipeline& pipeline, const LiveRun& run,
                       const std::string& report);
// The same for programs.
Json RunJson(const CommandContext& context, const LiveRun& run, const std::string& report);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_LIVE_RUN_H_
