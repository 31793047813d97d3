// What `plan` and `explain` show: each stage's status, why, and against which earlier run.
#ifndef MILLRACE_EXECUTOR_ENGINE_PLAN_H_
#define MILLRACE_EXECUTOR_ENGINE_PLAN_H_

#include <vector>

#include "absl/status/statusor.h"
#include "executor/engine/decide.h"
#include "executor/engine/engine.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

absl::StatusOr<std::vector<StagePlan>> MakePlan(Store& store, const ResolvedPipeline& pipeline,
                                                const EngineOptions& options);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_PLAN_H_
