// The environment of a stage: an allowlist, the same on every machine but for the folders' names.
#ifndef MILLRACE_EXECUTOR_ENGINE_STAGE_ENVIRONMENT_H_
#define MILLRACE_EXECUTOR_ENGINE_STAGE_ENVIRONMENT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "executor/graph/resolved_pipeline.h"
#include "pipelines/protocol/stage.pb.h"

namespace millrace {

inline constexpr absl::string_view kStagePath = "/usr/local/bin:/usr/bin:/bin";

// "NAME=value" each. `runfiles` is the tool's root, or "".
std::vector<std::string> StageEnvironment(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                          const StageRequest& request, const std::string& work_folder,
                                          const std::string& runfiles, int threads);

// "from.0" -> "FROM_0".
std::string EnvironmentName(absl::string_view name);

// Absolute path of a command's program, found in kStagePath; "" if there is none. Memoized; thread-safe.
std::string FindProgram(const std::string& name);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_STAGE_ENVIRONMENT_H_
