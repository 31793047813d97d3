// `expect`: a run that is held to its profile's `expect` lines.
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "executor/cli/command.h"
#include "executor/cli/expectations.h"
#include "executor/cli/live_run.h"
#include "executor/cli/results.h"
#include "executor/graph/load.h"
#include "executor/observe/progress_view.h"

namespace millrace {

int ExpectVerb(CommandContext& context) {
  const absl::StatusOr<ResolvedPipeline> pipeline = Load(context);
  if (!pipeline.ok()) return kExitBadInput;
  Diagnostics diagnostics;
  CheckRunnable(*pipeline, diagnostics);
  if (diagnostics.has_errors()) {
    PrintDiagnostics(context, diagnostics);
    return kExitBadInput;
  }
  int exit_status = 0;
  absl::StatusOr<LiveRun> run =
      RunLive(context, *pipeline, EngineOptionsOf(context),
              absl::StrCat(PipelineTitle(context, *pipeline), ": ", FactsLine(*pipeline)), exit_status);
  if (!run.ok()) return exit_status;
  std::string report = absl::StrCat(context.paths.out, "/", pipeline->name, "/report.html");
  if (const absl::Status status = WriteReport(run->model, PipelineFacts(*pipeline), context.paths.home, report);
      !status.ok()) {
    ReportMachineError(status);
    report.clear();
  }
  if (exit_status != kExitOk && exit_status != kExitGate) {
    Print(RunSummary(context, *pipeline, *run, report));
    return exit_status;
  }

  google::protobuf::RepeatedPtrField<Expectation> expectations(pipeline->expectations.begin(),
                                                               pipeline->expectations.end());
  const std::vector<ExpectationResult> results = CheckExpectations(expectations, run->result.entries);
  int failed = 0;
  for (const ExpectationResult& result : results) failed += !result.holds;
  if (context.arguments.json) {
    Json json = RunJson(context, *run, report);
    json["expectations"] = Json::array();
    for (const ExpectationResult& result : results) {
      Json one;
      one["stage"] = result.expectation.stage();
      if (result.expectation.has_metric()) one["metric"] = result.expectation.metric();
      one["holds"] = result.holds;
      one["text"] = result.text;
      json["expectations"].push_back(std::move(one));
    }
    PrintJson(json);
  } else {
    Print(RunSummary(context, *pipeline, *run, report));
    for (const ExpectationResult& result : results) {
      Print(absl::StrCat(
          "  ", result.holds ? Styled("holds   ", "green", context.color) : Styled("DOES NOT", "red", context.color),
          "  ", result.text, "\n"));
    }
    Print(absl::StrCat(results.size() - failed, " of ", results.size(), " expectations hold.\n"));
  }
  if (!context.arguments.update) {
    if (failed == 0) return exit_status;
    bool can_update = false;
    for (const ExpectationResult& result : results) {
      can_update = can_update || (!result.holds && result.found &&
                                  (result.expectation.has_digest() || result.expectation.has_golden()));
    }
    if (!context.arguments.json && can_update) {
      Print(absl::StrCat("If the change is meant: ", CommandText(context, "expect", {}, {"--update"}), "\n"));
    }
    return kExitGate;
  }
  const absl::StatusOr<std::string> text = ReadFile(context.paths.file);
  if (!text.ok()) return ReportError(text.status());
  const absl::StatusOr<std::string> updated = UpdateExpectations(*text, pipeline->profile, results);
  if (!updated.ok()) return ReportError(updated.status());
  if (*updated != *text) {
    if (const absl::Status status = WriteFile(context.paths.file, *updated); !status.ok())
      return ReportMachineError(status);
  }
  if (!context.arguments.json) {
    Print(*updated == *text ? absl::StrCat(context.paths.file_shown, " is as it was.\n")
                            : absl::StrCat(context.paths.file_shown, ":\n", LineDifference(*text, *updated)));
  }
  // Bounds are a person's decision: they are not moved.
  for (const ExpectationResult& result : results) {
    if (!result.holds && !result.expectation.has_digest() && !result.expectation.has_golden()) return kExitGate;
  }
  return exit_status;
}

}  // namespace millrace
