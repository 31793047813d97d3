// `run`, `gc` and `lock`.
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/quantity.h"
#include "executor/cli/command.h"
#include "executor/cli/live_run.h"
#include "executor/cli/results.h"
#include "executor/graph/load.h"

namespace millrace {

int RunVerb(CommandContext& context) {
  // What is large is left to the end of the process: to take ten thousand stages apart takes a tenth of a run that has
  // nothing to do.
  const absl::StatusOr<ResolvedPipeline>& pipeline = *new absl::StatusOr<ResolvedPipeline>(Load(context));
  if (!pipeline.ok()) return kExitBadInput;
  Diagnostics diagnostics;
  CheckRunnable(*pipeline, diagnostics);
  if (diagnostics.has_errors()) {
    PrintDiagnostics(context, diagnostics);
    return kExitBadInput;
  }
  int exit_status = 0;
  absl::StatusOr<LiveRun>& run = *new absl::StatusOr<LiveRun>(
      RunLive(context, *pipeline, EngineOptionsOf(context),
              absl::StrCat(PipelineTitle(context, *pipeline), ": ", FactsLine(*pipeline)), exit_status));
  if (!run.ok()) return exit_status;

  const std::string folder = JoinPath(context.paths.out, pipeline->name);
  std::string report = JoinPath(folder, "report.html");
  bool changed = false;
  absl::Status status = ExposeResults(*run->engine, *pipeline, run->result.entries,
                                      exit_status == 0 && context.arguments.only.empty(), folder, changed);
  if (status.ok() && (changed || run->something_ran || !FileExists(report))) {
    status = WriteReport(run->model, PipelineFacts(*pipeline), context.paths.home, report);
  }
  if (!status.ok()) {
    // The results are in the cache all the same.
    exit_status = std::max(exit_status, ReportMachineError(status));
    report.clear();
  }
  if (context.arguments.json) {
    PrintJson(RunJson(context, *run, report));
  } else {
    Print(RunSummary(context, *pipeline, *run, report));
  }
  run->result.work_folders.reset();
  return exit_status;
}

int GcVerb(CommandContext& context) {
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  HomeGcOptions options;
  options.max_bytes = context.arguments.max_size_bytes;
  options.max_age = absl::Seconds(context.arguments.max_age_seconds);
  options.dry_run = context.arguments.dry_run;
  const absl::StatusOr<HomeGcReport> report = (*engine)->CollectGarbage(options);
  if (!report.ok()) return ReportMachineError(report.status());
  const GcReport& results = report->results;
  if (context.arguments.json) {
    Json json;
    json["dry_run"] = context.arguments.dry_run;
    json["bytes_before"] = results.bytes_before;
    json["bytes_freed"] = results.bytes_freed;
    json["entries_kept"] = results.entries_kept;
    json["entries_without_bytes"] = results.entries_without_bytes;
    json["runs_removed"] = report->runs_removed;
    json["programs_removed"] = report->tools_removed;
    PrintJson(json);
    return kExitOk;
  }
  const char* would = context.arguments.dry_run ? "would be " : "";
  Print(absl::StrCat(FormatBytes(results.bytes_freed), " of ", FormatBytes(results.bytes_before), " ", would, "freed; ",
                     FormatGrouped(results.entries_kept), " results kept, ",
                     FormatGrouped(results.entries_without_bytes), " known without their bytes; logs of ",
                     report->runs_removed, report->runs_removed == 1 ? " old run and " : " old runs and ",
                     report->tools_removed, report->tools_removed == 1 ? " unused program " : " unused programs ",
                     would, "removed.\n"));
  return kExitOk;
}

int LockVerb(CommandContext& context) {
  const absl::StatusOr<ResolvedPipeline> pipeline = Load(context);
  if (!pipeline.ok()) return kExitBadInput;
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  const absl::StatusOr<std::vector<std::string>> written = (*engine)->WriteLocks(*pipeline);
  if (!written.ok()) return ReportError(written.status());
  for (const std::string& path : *written) Print(absl::StrCat(context.paths.Shown(path), "\n"));
  if (written->empty()) Print("no input of this pipeline names a lock file (`lock` of its files).\n");
  return kExitOk;
}

}  // namespace millrace
