#include "executor/graph/fit_check.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/arch/model_config.h"

namespace millrace {
namespace {

// The layout as fields of `parallel`.
std::string AsFields(const trainer::Layout& layout) {
  std::string text = absl::StrCat("parallel { layout: FIXED zero_stage: ", layout.zero_stage,
                                  " data_parallel_size: ", layout.data_parallel);
  if (layout.pipeline > 1) absl::StrAppend(&text, " pipeline_parallel_size: ", layout.pipeline);
  absl::StrAppend(&text, " micro_batch_size: ", layout.micro_batch);
  if (layout.recompute != Parallel::RECOMPUTE_NONE)
    absl::StrAppend(&text, " recompute: ", Parallel::Recompute_Name(layout.recompute));
  return absl::StrCat(text, " }");
}

std::string Needs(const trainer::Candidate& candidate, double limit_bytes) {
  const trainer::RankMemory& memory = candidate.memory;
  return absl::StrFormat(
      "%s needs %s on the rank that needs most (weights %s, gradients %s, optimizer %s, the rest %s) of %s",
      trainer::LayoutName(candidate.layout), FormatBytes(memory.total()), FormatBytes(memory.weights),
      FormatBytes(memory.gradients), FormatBytes(memory.optimizer), FormatBytes(memory.total() - memory.states()),
      FormatBytes(limit_bytes));
}

}  // namespace

absl::StatusOr<trainer::Plan> PlanTraining(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                           const Cluster& cluster) {
  trainer::PlanRequest request;
  request.train = static_cast<const Train&>(*stage.parameters);
  ASSIGN_OR_RETURN(request.model, trainer::ModelConfigFromProto(request.train.model()));
  request.sequence_length = stage.train_steps->tokens_per_step / request.train.global_batch_size();
  request.cluster = cluster;
  request.gradient_bytes = pipeline.reproducibility.gradient_sum() == Reproducibility::INT64 ? 8 : 4;
  return trainer::MakePlan(request);
}

void CheckFit(const ResolvedStage& stage, const Cluster& cluster, const absl::StatusOr<trainer::Plan>& plan,
              Diagnostics& diagnostics) {
  const bool fixed = static_cast<const Train&>(*stage.parameters).parallel().layout() == Parallel::FIXED;
  const Location location = stage.OriginOf("parallel");
  const std::string prefix = absl::StrCat("stage \"", stage.name, "\": ");
  if (!plan.ok()) {
    // Its first line says what, a line "fix: ..." what to do.
    std::string what(plan.status().message()), fix;
    if (const size_t at = what.find("\n  fix: "); at != std::string::npos) {
      fix = what.substr(at + 8);
      what.resize(at);
    }
    diagnostics.AddError(location, absl::StrCat(prefix, what), absl::StrCat("on cluster \"", cluster.name(), "\""),
                         std::move(fix));
    return;
  }
  if (fixed && plan->chosen.has_value() && plan->chosen->fit == trainer::Fit::kNo) {
    diagnostics.AddError(
        location, absl::StrCat(prefix, "the model does not fit cluster \"", cluster.name(), "\""),
        Needs(*plan->chosen, plan->memory_limit_bytes),
        plan->nearest.has_value() ? AsFields(plan->nearest->layout) : "no layout fits: more or larger devices");
  } else if (!fixed && !plan->chosen.has_value()) {
    std::string why = "no layout fits";
    const trainer::Candidate* smallest = nullptr;
    for (const trainer::Candidate& row : plan->rows) {
      if (smallest == nullptr || row.memory.total() < smallest->memory.total()) smallest = &row;
    }
    if (smallest != nullptr) absl::StrAppend(&why, "; ", Needs(*smallest, plan->memory_limit_bytes));
    diagnostics.AddError(location, absl::StrCat(prefix, "the model does not fit cluster \"", cluster.name(), "\""),
                         std::move(why), "more or larger devices, or a smaller model");
  }
}

}  // namespace millrace
