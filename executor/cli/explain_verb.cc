// `explain`: the components of a stage's key that differ from an earlier run's.
#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/quantity.h"
#include "executor/cli/command.h"
#include "executor/cli/estimate.h"
#include "executor/cli/past_runs.h"
#include "executor/graph/action_key.h"
#include "executor/observe/display_width.h"
#include "executor/observe/progress_view.h"

namespace millrace {
namespace {

// The key as far as it is known while the stage is blocked: what its producers will make is taken to be what `before`
// had, so that the stage's own parameters can be compared.
absl::StatusOr<KeyRecord> OwnRecord(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                    const KeyRecord& before) {
  KeyInputs inputs;
  for (const StageEdge& edge : stage.edges) inputs.input_digest[edge.name] = "unknown";
  for (const ExternalInput& input : stage.external_inputs) inputs.input_digest[input.name] = "unknown";
  for (const KeyComponent& component : before.component()) {
    absl::string_view path = component.path();
    if (absl::ConsumePrefix(&path, "input.")) {
      const auto input = inputs.input_digest.find(std::string(path.data(), path.size()));
      if (input != inputs.input_digest.end()) input->second = component.value();
    } else if (path == "tool") {
      inputs.tool_digest = component.value();
    }
  }
  return MakeKeyRecord(pipeline, stage, inputs);
}

// Where a component's value is set: "line 113", "--set ...". "" : it is not a field of the file.
std::string OriginOf(const ResolvedStage& stage, const std::string& path, const std::string& file) {
  for (const char* prefix : {"kind", "tool", "input.", "output", "seed", "numerics", "command", "semantics"}) {
    if (absl::StartsWith(path, prefix)) return "";
  }
  const Location origin = stage.OriginOf(path);
  if (origin.file != file) return origin.ToString();
  return origin.line > 0 ? absl::StrCat("line ", origin.line) : "";
}

// Digests are shortened in the middle of a sentence; --all has them in full.
std::string ValueText(const std::string& value, bool full) {
  if (value.empty()) return "(not set)";
  if (!full && absl::StartsWith(value, "sha256:")) return value.substr(0, 19) + "…";
  return full ? value : ElideMiddle(value, 60);
}

struct Explanation {
  const ResolvedStage* stage = nullptr;
  const StagePlan* plan = nullptr;
  absl::optional<KeyRecord> before;
  std::string before_from;  // "run 2026...", "the last run here"
  absl::optional<KeyRecord> after;
  std::vector<KeyDifference> differences;
  int same = 0;
  std::vector<std::string> follows;  // stages behind it that are not cached
  int stays_cached = 0;
};

void FindFollowers(const ResolvedPipeline& pipeline, const std::vector<StagePlan>& plans, int index,
                   Explanation& explanation) {
  std::vector<bool> behind(pipeline.stages.size(), false);
  behind[index] = true;
  for (size_t i = index + 1; i < pipeline.stages.size(); ++i) {
    for (const StageEdge& edge : pipeline.stages[i].edges) behind[i] = behind[i] || behind[edge.producer];
    if (behind[i] && plans[i].status != StagePlan::Status::kCached)
      explanation.follows.push_back(pipeline.stages[i].name);
  }
  for (const StagePlan& plan : plans) explanation.stays_cached += plan.status == StagePlan::Status::kCached;
}

const char* Verdict(const StagePlan& plan) {
  switch (plan.status) {
    case StagePlan::Status::kCached:
      return "is CACHED";
    case StagePlan::Status::kRun:
      return "would RUN";
    case StagePlan::Status::kBlocked:
      return "WAITS";
  }
  return "";
}

std::string TextOf(const CommandContext& context, const ResolvedPipeline& pipeline, const Explanation& e) {
  const StagePlan& plan = *e.plan;
  const bool all = context.arguments.all;
  std::string text = absl::StrCat(Styled(e.stage->name, "bold", context.color), " ", Verdict(plan));
  if (plan.status == StagePlan::Status::kRun && plan.total_steps > 0) {
    absl::StrAppend(&text, ", from step ", FormatGrouped(plan.resume_step), " of ", FormatGrouped(plan.total_steps));
  }
  absl::string_view reason = plan.reason;
  if (plan.status == StagePlan::Status::kBlocked && absl::ConsumePrefix(&reason, "waits ")) {
    absl::StrAppend(&text, " ", reason, ".");
  } else {
    absl::StrAppend(&text, plan.status == StagePlan::Status::kCached ? "" : absl::StrCat(": ", plan.reason), ".");
  }
  if (!e.follows.empty()) {
    std::vector<std::string> shown = e.follows;
    const size_t more = shown.size() > 5 ? shown.size() - 5 : 0;
    if (more > 0) shown.resize(5);
    absl::StrAppend(&text, "   ", absl::StrJoin(shown, ", "), more > 0 ? absl::StrCat(" and ", more, " more") : "",
                    shown.size() == 1 && more == 0 ? " follows." : " follow.");
  }
  absl::StrAppend(&text, "   ", e.stays_cached == 0 ? "No" : absl::StrCat(e.stays_cached),
                  e.stays_cached <= 1 ? " stage is" : " stages are", " cached.\n");
  int columns = 0;
  for (const KeyDifference& difference : e.differences) columns = std::max(columns, DisplayWidth(difference.path));
  columns = std::min(columns, 48);
  for (const KeyDifference& difference : e.differences) {
    const std::string origin = OriginOf(*e.stage, difference.path, pipeline.file);
    absl::StrAppend(&text, "  changed   ", PadRight(difference.path, columns), "  ", ValueText(difference.before, all),
                    " -> ", ValueText(difference.after, all), origin.empty() ? "" : absl::StrCat("   (", origin, ")"),
                    "\n");
  }
  if (!e.before) {
    absl::StrAppend(&text, plan.status == StagePlan::Status::kCached
                               ? ""
                               : "  compared  with nothing: there is no earlier result of it here\n");
  } else {
    absl::StrAppend(&text, "  same      ", e.same, e.same == 1 ? " component" : " components",
                    all ? "" : " (--all lists them)", "; compared with ", e.before_from, "\n");
  }
  if (plan.status == StagePlan::Status::kBlocked) {
    absl::StrAppend(&text, "  inputs    its key is known once they are\n");
  }
  if (plan.status == StagePlan::Status::kRun && plan.total_steps > 0) {
    absl::StrAppend(
        &text, "  prefix    ",
        plan.resume_step > 0 ? absl::StrCat("steps 1 to ", FormatGrouped(plan.resume_step), " are recorded") : "none",
        plan.prefix_reason.empty() ? "" : absl::StrCat(": ", plan.prefix_reason), "\n");
  }
  if (plan.status != StagePlan::Status::kCached && plan.expected_seconds > 0) {
    const double left = plan.total_steps > 0 ? 1 - static_cast<double>(plan.resume_step) / plan.total_steps : 1.0;
    absl::StrAppend(&text, "  cost      about ", RoughTime(plan.expected_seconds * left), "\n");
  }
  if (plan.key) absl::StrAppend(&text, "  key       ", *plan.key, "\n");
  if (plan.status == StagePlan::Status::kCached && plan.entry) {
    absl::StrAppend(&text, "  made by   run ", plan.entry->run_id(), ", in ",
                    FormatSeconds(plan.entry->duration_seconds()), "\n");
  }
  if (!all || !e.after) return text;
  for (const KeyComponent& component : e.after->component()) {
    absl::StrAppend(&text, "  ", PadRight(component.path(), std::max(columns, 32)), "  ", component.value(), "\n");
  }
  return text;
}

Json JsonOf(const Explanation& e, const std::string& file) {
  Json json;
  json["stage"] = e.stage->name;
  json["status"] = e.plan->status == StagePlan::Status::kCached ? "cached"
                   : e.plan->status == StagePlan::Status::kRun  ? "run"
                                                                : "blocked";
  json["reason"] = e.plan->reason;
  json["key"] = e.plan->key ? Json(*e.plan->key) : Json(nullptr);
  json["changed"] = Json::array();
  for (const KeyDifference& difference : e.differences) {
    Json one;
    one["path"] = difference.path;
    one["before"] = difference.before;
    one["after"] = difference.after;
    const std::string origin = OriginOf(*e.stage, difference.path, file);
    if (!origin.empty()) one["set_at"] = origin;
    json["changed"].push_back(std::move(one));
  }
  json["same"] = e.same;
  if (e.before) json["compared_with"] = e.before_from;
  json["follows"] = e.follows;
  if (e.plan->total_steps > 0) {
    json["resume_step"] = e.plan->resume_step;
    json["total_steps"] = e.plan->total_steps;
    if (!e.plan->prefix_reason.empty()) json["prefix_reason"] = e.plan->prefix_reason;
  }
  return json;
}

}  // namespace

int ExplainVerb(CommandContext& context) {
  const absl::StatusOr<ResolvedPipeline> pipeline = Load(context);
  if (!pipeline.ok()) return kExitBadInput;
  const std::string& name = context.arguments.operands[0];
  const int index = pipeline->FindStage(name);
  if (index < 0) {
    std::vector<std::string> names;
    for (const ResolvedStage& stage : pipeline->stages) names.push_back(stage.name);
    const std::string closest = Closest(name, names);
    return ReportError(absl::NotFoundError(
        absl::StrCat("no stage is named \"", name, "\"",
                     closest.empty() ? absl::StrCat("\n  why: there are ", absl::StrJoin(names, ", "))
                                     : absl::StrCat("\n  fix: ", closest))));
  }
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  const absl::StatusOr<std::vector<StagePlan>> plans = (*engine)->Plan(*pipeline);
  if (!plans.ok()) return ReportError(plans.status());

  Explanation e;
  e.stage = &pipeline->stages[index];
  e.plan = &(*plans)[index];
  e.before = e.plan->previous;
  e.before_from = "the nearest earlier result here";
  if (!context.arguments.run.empty()) {
    const absl::StatusOr<PastRun> run = FindRun(context.paths.home, context.arguments.run, "");
    if (!run.ok()) return ReportError(run.status());
    const StageView* view = run->model.Find(name);
    if (view == nullptr || view->key_record.component_size() == 0) {
      return ReportError(absl::NotFoundError(absl::StrCat("run ", run->id, " has no key of \"", name,
                                                          "\"\n  why: the stage was not in it, or never got so far")));
    }
    e.before = view->key_record;
    e.before_from = absl::StrCat("run ", run->id);
  }
  e.after = e.plan->key_record;
  if (!e.after && e.before) {
    absl::StatusOr<KeyRecord> own = OwnRecord(*pipeline, *e.stage, *e.before);
    if (own.ok()) e.after = *std::move(own);
  }
  if (e.before && e.after) {
    e.differences = CompareKeyRecords(*e.before, *e.after);
    e.same = e.after->component_size();
    for (const KeyDifference& difference : e.differences) e.same -= !difference.after.empty();
  }
  FindFollowers(*pipeline, *plans, index, e);
  if (context.arguments.json) {
    PrintJson(JsonOf(e, pipeline->file));
  } else {
    PrintWrapped(context, TextOf(context, *pipeline, e), 10);
  }
  return kExitOk;
}

}  // namespace millrace
