// Whether a train stage's model fits the memory of the cluster that is named, by the planner's estimate.
#ifndef MILLRACE_EXECUTOR_GRAPH_FIT_CHECK_H_
#define MILLRACE_EXECUTOR_GRAPH_FIT_CHECK_H_

#include "absl/status/statusor.h"
#include "base/diagnostic.h"
#include "executor/graph/resolved_pipeline.h"
#include "pipelines/schema/cluster.pb.h"
#include "trainer/plan/planner.h"

namespace millrace {

// What training takes on the cluster. `stage` is a `train` stage whose steps are known. Errors: trainer::MakePlan's.
absl::StatusOr<trainer::Plan> PlanTraining(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                           const Cluster& cluster);

// An error at the stage's `parallel` if there is no plan, or it does not fit: with a FIXED layout that one must, with
// AUTO one of the planner's.
void CheckFit(const ResolvedStage& stage, const Cluster& cluster, const absl::StatusOr<trainer::Plan>& plan,
              Diagnostics& diagnostics);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_FIT_CHECK_H_
