// `plan`: what is cached, what would run and why; with a cluster, what training takes there.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/quantity.h"
#include "executor/cli/command.h"
#include "executor/cli/estimate.h"
#include "executor/graph/fit_check.h"
#include "executor/graph/load.h"
#include "executor/observe/display_width.h"
#include "executor/observe/progress_view.h"
#include "trainer/plan/planner.h"

namespace millrace {
namespace {

const char* StatusName(StagePlan::Status status) {
  switch (status) {
    case StagePlan::Status::kCached:
      return "cached";
    case StagePlan::Status::kRun:
      return "run";
    case StagePlan::Status::kBlocked:
      return "blocked";
  }
  return "";
}

int64_t BytesOf(const StagePlan& plan) {
  int64_t bytes = 0;
  if (!plan.entry) return bytes;
  for (const OutputTree& output : plan.entry->output()) bytes += output.size_bytes();
  return bytes;
}

Json JsonOf(const trainer::Plan& plan) {
  Json json;
  json["parameters"] = plan.parameters;
  json["tokens"] = plan.tokens;
  json["steps"] = plan.total_steps;
  json["memory_limit_bytes"] = plan.memory_limit_bytes;
  json["fits"] = plan.fits();
  json["sensible"] = plan.sensible();
  const auto candidate = [](const trainer::Candidate& one) {
    Json row;
    row["layout"] = trainer::LayoutName(one.layout);
    row["micro_batch"] = one.layout.micro_batch;
    row["memory_bytes"] = one.memory.total();
    row["weights_bytes"] = one.memory.weights;
    row["gradients_bytes"] = one.memory.gradients;
    row["optimizer_bytes"] = one.memory.optimizer;
    row["activations_bytes"] = one.memory.activations;
    row["spare_bytes"] = one.spare_bytes;
    row["fits"] = one.fit == trainer::Fit::kYes;
    row["tokens_per_second"] = one.tokens_per_second;
    row["seconds"] = one.total_seconds;
    return row;
  };
  for (const trainer::Candidate& row : plan.rows) json["layouts"].push_back(candidate(row));
  if (plan.chosen) json["chosen"] = candidate(*plan.chosen);
  if (plan.nearest) json["nearest_that_fits"] = candidate(*plan.nearest);
  json["gpu_hours"] = plan.gpu_hours;
  json["node_hours"] = plan.node_hours;
  if (plan.cost > 0) json["cost"] = plan.cost;
  if (!plan.refusal.empty()) json["refusal"] = plan.refusal;
  return json;
}

Json JsonOf(const ResolvedPipeline& pipeline, const std::vector<StagePlan>& plans) {
  Json json;
  json["pipeline"] = pipeline.name;
  json["profile"] = pipeline.profile;
  json["stages"] = Json::array();
  for (size_t i = 0; i < plans.size(); ++i) {
    const StagePlan& plan = plans[i];
    const ResolvedStage& stage = pipeline.stages[i];
    Json one;
    one["name"] = stage.name;
    one["kind"] = stage.kind;
    one["status"] = StatusName(plan.status);
    one["key"] = plan.key ? Json(*plan.key) : Json(nullptr);
    one["reason"] = plan.reason;
    if (plan.expected_seconds > 0) one["expected_seconds"] = plan.expected_seconds;
    if (plan.remote) {
      one["cache"] = plan.remote->cache;
      one["fetch_bytes"] = plan.remote->bytes;
    }
    Json action;
    action["key"] = one["key"];
    action["status"] = one["status"];
    if (stage.train_steps) {
      action["first_step"] = plan.resume_step + 1;
      action["last_step"] = stage.train_steps->total_steps;
      if (!plan.prefix_reason.empty()) action["prefix_reason"] = plan.prefix_reason;
    }
    one["actions"] = Json::array({action});
    std::vector<std::string> needs;
    for (const StageEdge& edge : stage.edges) needs.push_back(pipeline.stages[edge.producer].name);
    std::sort(needs.begin(), needs.end());
    needs.erase(std::unique(needs.begin(), needs.end()), needs.end());
    one["needs"] = needs;
    if (plan.entry) {
      for (const OutputTree& output : plan.entry->output()) one["outputs"][output.name()] = output.digest();
      one["bytes"] = BytesOf(plan);
    }
    json["stages"].push_back(std::move(one));
  }
  json["unchecked"] = pipeline.unchecked;
  return json;
}

// A line for each stage. Cached ones in a row are one line, unless --all.
std::string TextOf(const CommandContext& context, const ResolvedPipeline& pipeline, const std::vector<StagePlan>& plans,
                   const RunEstimate& estimate) {
  int name_columns = 0, counts[3] = {};
  int64_t cached_bytes = 0;
  for (size_t i = 0; i < plans.size(); ++i) {
    name_columns = std::max(name_columns, std::min(32, DisplayWidth(pipeline.stages[i].name)));
    ++counts[static_cast<int>(plans[i].status)];
    if (plans[i].status == StagePlan::Status::kCached) cached_bytes += BytesOf(plans[i]);
  }
  std::string text = absl::StrCat(PipelineTitle(context, pipeline), ": ", FactsLine(pipeline), "\n");
  std::vector<std::string> cached;
  const auto flush = [&] {
    if (cached.empty()) return;
    ViewOptions view;
    view.width = context.columns > 0 ? context.columns : 118;
    view.color = context.color;
    absl::StrAppend(&text, CachedLine(cached, view), "\n");
    cached.clear();
  };
  for (size_t i = 0; i < plans.size(); ++i) {
    const StagePlan& plan = plans[i];
    const std::string& name = pipeline.stages[i].name;
    if (plan.status == StagePlan::Status::kCached && !plan.remote && !context.arguments.all) {
      cached.push_back(name);
      continue;
    }
    flush();
    const bool run = plan.status == StagePlan::Status::kRun;
    const char* word = plan.status == StagePlan::Status::kCached ? "cached" : run ? "run   " : "wait  ";
    absl::StrAppend(&text, "  ", Styled(word, run ? "green" : "dim", context.color), "  ", PadRight(name, name_columns),
                    "  ");
    const StageEstimate& expected = estimate.stages[i];
    std::string time = expected.seconds > 0 ? absl::StrCat("about ", RoughTime(expected.seconds)) : "";
    if (plan.status == StagePlan::Status::kCached) time = FormatBytes(BytesOf(plan));
    absl::StrAppend(&text, PadRight(time, 13), " ", plan.reason);
    if (plan.remote) {
      absl::StrAppend(&text, "; ", FormatBytes(static_cast<double>(plan.remote->bytes)), " to fetch from ",
                      plan.remote->cache);
    }
    if (run && plan.total_steps > 0) {
      absl::StrAppend(&text, plan.resume_step > 0
                                 ? absl::StrCat("; goes on from step ", FormatGrouped(plan.resume_step), " of ",
                                                FormatGrouped(plan.total_steps))
                                 : absl::StrCat("; ", FormatGrouped(plan.total_steps), " steps"));
      if (!plan.prefix_reason.empty()) absl::StrAppend(&text, " (", plan.prefix_reason, ")");
    }
    absl::StrAppend(&text, "\n");
  }
  flush();
  absl::StrAppend(&text, counts[0], " cached (", FormatBytes(cached_bytes), "), ", counts[1], " to run, ", counts[2],
                  " waiting");
  if (const std::string all = EstimateText(estimate); !all.empty()) {
    absl::StrAppend(&text, "; ", all);
  } else if (counts[1] + counts[2] > 0) {
    absl::StrAppend(&text, "; how long is not known yet");
  }
  absl::StrAppend(&text, ".\n");
  std::vector<std::string> unchecked;  // but for what the reasons above say
  for (const std::string& line : pipeline.unchecked) {
    const bool said = std::any_of(plans.begin(), plans.end(), [&](const StagePlan& plan) {
      return !plan.reason.empty() && absl::StrContains(line, plan.reason);
    });
    if (!said) unchecked.push_back(line);
  }
  if (!unchecked.empty()) {
    absl::StrAppend(&text, "not looked at here:\n  ", absl::StrJoin(unchecked, "\n  "), "\n");
  }
  return text;
}

// Why `run` refuses. What is said of the stages above is not said again.
std::string RefusalText(const Diagnostics& diagnostics, const std::vector<StagePlan>& plans) {
  Diagnostics others;
  int said = 0;
  for (const Diagnostic& one : diagnostics.Sorted()) {
    const bool again = std::any_of(plans.begin(), plans.end(), [&](const StagePlan& plan) {
      return !plan.reason.empty() && absl::EndsWith(one.what, plan.reason);
    });
    said += again;
    if (!again) others.AddError(one.location, one.what, one.why, one.fix);
  }
  return absl::StrCat("\n`run` refuses (exit status 2)",
                      said == 0   ? ""
                      : said == 1 ? ": a stage above has no files"
                                  : absl::StrCat(": ", said, " stages above have no files"),
                      said == 0             ? ":\n"
                      : others.has_errors() ? ", and\n"
                                            : "\n",
                      others.ToString());
}

}  // namespace

int PlanVerb(CommandContext& context) {
  const absl::StatusOr<std::vector<Cluster>> clusters = LoadClusters(context);
  if (!clusters.ok()) return kExitBadInput;
  const absl::optional<Cluster> cluster = clusters->empty() ? absl::optional<Cluster>() : clusters->front();
  // A model that does not fit is refused below, beneath the table of what would.
  const absl::StatusOr<ResolvedPipeline> pipeline = Load(context, cluster, /*check_fit=*/false);
  if (!pipeline.ok()) return kExitBadInput;
  if (context.arguments.resolved) {
    Print(pipeline->text);
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  const absl::StatusOr<std::vector<StagePlan>> plans = (*engine)->Plan(*pipeline);
  if (!plans.ok()) return ReportError(plans.status());

  std::vector<std::pair<std::string, trainer::Plan>> training;
  Diagnostics misfits, not_runnable;
  for (const ResolvedStage& stage : pipeline->stages) {
    if (!cluster || !stage.train_steps) continue;
    absl::StatusOr<trainer::Plan> plan = PlanTraining(*pipeline, stage, *cluster);
    CheckFit(stage, *cluster, plan, misfits);
    if (plan.ok()) training.emplace_back(stage.name, *std::move(plan));
  }
  std::map<std::string, double> training_seconds;
  for (const auto& [stage, plan] : training) {
    if (plan.chosen) training_seconds[stage] = plan.chosen->total_seconds;
  }
  const RunEstimate estimate = EstimateRun(*pipeline, *plans,
                                           {.cpus = JobsOf(context),
                                            .new_tools = HasTools(context.paths.home) ? nullptr : &ManifestOf(context),
                                            .training_seconds = cluster ? &training_seconds : nullptr});
  CheckRunnable(*pipeline, not_runnable);
  const int exit_status = misfits.has_errors() ? kExitBadInput : kExitOk;
  if (context.arguments.json) {
    Json json = JsonOf(*pipeline, *plans);
    for (const auto& [stage, plan] : training) json["training"][stage] = JsonOf(plan);
    json["estimate"] = {{"seconds", estimate.seconds},
                        {"disk_bytes", std::llround(estimate.disk_bytes)},
                        {"stages_guessed", estimate.guessed},
                        {"stages_unknown", estimate.unknown}};
    json["runnable"] = !not_runnable.has_errors() && !misfits.has_errors();
    if (misfits.has_errors()) json["errors"] = ErrorsOf(misfits);
    PrintJson(json);
    return exit_status;
  }
  PrintWrapped(context, TextOf(context, *pipeline, *plans, estimate), 10);
  for (const auto& [stage, plan] : training) {
    PrintWrapped(context, absl::StrCat("\n", Styled(stage, "bold", context.color), " on ", cluster->name(), "  ",
                                       trainer::FormatPlan(plan)));
  }
  if (misfits.has_errors()) {
    Print("\n");
    PrintDiagnostics(context, misfits);
  } else if (not_runnable.has_errors()) {
    PrintWrapped(context, RefusalText(not_runnable, *plans), 5);
  }
  return exit_status;
}

}  // namespace millrace
