// What a run leaves for people: <out>/<pipeline>/<stage> points at artifacts, <out>/<pipeline>/report.html.
#ifndef MILLRACE_EXECUTOR_CLI_RESULTS_H_
#define MILLRACE_EXECUTOR_CLI_RESULTS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "executor/engine/engine.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/observe/run_model.h"

namespace millrace {

// Makes `folder` (<out>/<pipeline>) point at the results: a stage with one output is a link to it, one with several a
// folder of links. When `complete`, links of stages that the pipeline does not have are removed. Costs one look into
// the folder when nothing has changed since the last call; `changed` says whether it did more.
absl::Status ExposeResults(Engine& engine, const ResolvedPipeline& pipeline,
                           const std::map<std::string, ActionEntry>& entries, bool complete, const std::string& folder,
                           bool& changed);

// Writes the report. `home`: for what cached stages do not say of themselves.
absl::Status WriteReport(RunModel& model, const std::vector<std::pair<std::string, std::string>>& facts,
                         const std::string& home, const std::string& path);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_RESULTS_H_
