// `pin`, `export` and `import`.
#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "executor/cli/command.h"
#include "executor/cli/past_runs.h"

namespace millrace {
namespace {

Json JsonOf(const BundleReport& report) {
  Json json;
  json["run"] = report.run_id;
  json["pipeline"] = report.pipeline;
  json["results"] = report.results;
  json["results_without_bytes"] = report.results_without_bytes;
  json["bytes"] = report.size_bytes;
  return json;
}

std::string TextOf(const BundleReport& report) {
  std::string text = absl::StrCat("run ", report.run_id, " of ", report.pipeline, ": ", report.results,
                                  report.results == 1 ? " result, " : " results, ",
                                  FormatBytes(static_cast<double>(report.size_bytes)));
  if (report.results_without_bytes > 0) {
    absl::StrAppend(&text, "; of ", report.results_without_bytes,
                    " only what is known: their bytes had been collected");
  }
  return absl::StrCat(text, ".\n");
}

int Report(const CommandContext& context, const absl::StatusOr<BundleReport>& report) {
  if (!report.ok()) return ReportError(report.status());
  if (context.arguments.json) {
    PrintJson(JsonOf(*report));
  } else {
    Print(TextOf(*report));
  }
  return kExitOk;
}

}  // namespace

int PinVerb(CommandContext& context) {
  const std::string& name = context.arguments.operands[0];
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  if (context.arguments.remove) {
    const absl::Status removed = (*engine)->RemovePin(name);
    if (!removed.ok()) return ReportError(removed);
    Print(absl::StrCat("the pin \"", name, "\" is removed.\n"));
    return kExitOk;
  }
  const absl::StatusOr<PastRun> run = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!run.ok()) return ReportError(run.status());
  const absl::StatusOr<int> results = (*engine)->PinRun(name, run->id);
  if (!results.ok()) return ReportError(results.status());
  Print(absl::StrCat(*results, *results == 1 ? " result" : " results", " of run ", run->id, " pinned as \"", name,
                     "\".\n"));
  return kExitOk;
}

int ExportVerb(CommandContext& context) {
  const std::string& wanted = context.arguments.operands[0];
  const absl::StatusOr<PastRun> run =
      FindRun(context.paths.home, wanted == "last" ? "" : wanted, context.paths.file_shown);
  if (!run.ok()) return ReportError(run.status());
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  return Report(context, (*engine)->Export(run->id, context.paths.Resolve(context.arguments.operands[1])));
}

int ImportVerb(CommandContext& context) {
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  return Report(context, (*engine)->Import(context.paths.Resolve(context.arguments.operands[0])));
}

}  // namespace millrace
