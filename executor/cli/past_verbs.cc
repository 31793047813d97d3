// `status`, `logs` and `report`: readers of a run's event log.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/quantity.h"
#include "executor/cli/command.h"
#include "executor/cli/past_runs.h"
#include "executor/cli/results.h"
#include "executor/engine/run_log.h"
#include "executor/graph/load.h"
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/progress_view.h"

namespace millrace {
namespace {

std::string TimeText(int64_t micros) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(micros), absl::LocalTimeZone());
}

std::string OutcomeOf(const RunModel& model, bool goes_on) {
  if (!model.finished()) return goes_on ? "goes on" : "was killed (the next run goes on from what is whole)";
  switch (model.finished()->exit_status()) {
    case 0:
      return "complete";
    case 1:
      return "a stage failed";
    case 3:
      return "the machine failed";
    case 4:
      return "a gate does not hold";
    case 130:
      return "interrupted";
    default:
      return absl::StrCat("ended with status ", model.finished()->exit_status());
  }
}

Json JsonOf(const PastRun& run, bool goes_on) {
  Json json;
  json["run"] = run.id;
  json["folder"] = run.folder;
  json["pipeline"] = run.model.started().pipeline();
  json["profile"] = run.model.started().profile();
  json["file"] = run.model.started().file();
  json["finished"] = run.model.finished().has_value();
  json["goes_on"] = goes_on;
  if (run.model.finished()) json["exit_status"] = run.model.finished()->exit_status();
  json["stages"] = Json::array();
  for (const StageView& stage : run.model.stages()) {
    Json one;
    one["name"] = stage.name();
    one["kind"] = stage.info.kind();
    one["state"] = StateName(stage.state).data();
    one["key"] = stage.key.empty() ? Json(nullptr) : Json(stage.key);
    if (!stage.tool_digest.empty()) one["tool"] = stage.tool_digest;
    one["seconds"] = stage.DurationSeconds();
    if (stage.progress) {
      one["done"] = stage.progress->done();
      if (stage.progress->has_total()) one["total"] = stage.progress->total();
    }
    if (stage.entry) {
      for (const OutputTree& output : stage.entry->output()) one["outputs"][output.name()] = output.digest();
    }
    for (const auto& [name, value] : stage.metrics) one["metrics"][name] = value;
    if (!stage.error.empty()) one["error"] = stage.error;
    for (const KeyComponent& component : stage.key_record.component()) {
      one["key_components"][component.path()] = component.value();
    }
    json["stages"].push_back(std::move(one));
  }
  return json;
}

// The stage's log, relative to the run's folder. Ranks and attempts have one each.
std::string LogPathOf(const StageView& stage, int rank) {
  if (!stage.log_path.empty() && rank == 0 && stage.state == FAILED) return stage.log_path;
  return absl::StrCat("stages/", stage.name(), "/rank", rank, ".attempt", std::max(1, stage.attempt), ".log");
}

absl::Status NoLog(const PastRun& run, const StageView& stage, const std::string& path, int rank) {
  std::string why = absl::StrCat("its state is \"", StateName(stage.state), "\"");
  if (rank > 0 && rank >= stage.info.ranks()) {
    why = absl::StrCat("it has ", stage.info.ranks(), stage.info.ranks() == 1 ? " process" : " processes",
                       ", counted from 0");
  }
  return absl::NotFoundError(absl::StrCat("run ", run.id, " has no log of \"", stage.name(), "\"",
                                          rank > 0 ? absl::StrCat(", rank ", rank) : "", "\n  why: ", why,
                                          "\n  looked for: ", path));
}

// What is said of training at the top of a report, from the text that was run; none where it is not understood today.
std::vector<std::pair<std::string, std::string>> FactsOf(const CommandContext& context, const RunStarted& started) {
  LoadOptions options;
  options.file = started.file();
  options.workspace = context.paths.workspace;
  Diagnostics diagnostics;
  const absl::StatusOr<ResolvedPipeline> pipeline = LoadPipeline(started.resolved_text(), options, diagnostics);
  if (!pipeline.ok()) return {};
  return PipelineFacts(*pipeline);
}

// Prints what has come since `offset`; returns the new one.
int64_t PrintFrom(const std::string& path, int64_t offset) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return offset;
  std::fseek(file, offset, SEEK_SET);
  char buffer[1 << 16];
  size_t size;
  while ((size = std::fread(buffer, 1, sizeof(buffer), file)) > 0) {
    Print(absl::string_view(buffer, size));
    offset += size;
  }
  std::fclose(file);
  std::fflush(stdout);
  return offset;
}

}  // namespace

int StatusVerb(CommandContext& context) {
  const absl::StatusOr<PastRun> run = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!run.ok()) return ReportError(run.status());
  const bool goes_on = !run->model.finished() && GoesOn(context.paths.home, run->id);
  if (context.arguments.json) {
    PrintJson(JsonOf(*run, goes_on));
    return kExitOk;
  }
  const RunModel& model = run->model;
  const RunStarted& started = model.started();
  PrintWrapped(
      context,
      absl::StrCat("run ", run->id, "  ", started.pipeline(),
                   started.profile().empty() ? "" : absl::StrCat(", profile ", started.profile()), "  started ",
                   TimeText(model.start_micros()), "  ", OutcomeOf(model, goes_on),
                   model.finished() ? absl::StrCat(", ", FormatSeconds(model.finished()->duration_seconds())) : "",
                   "\n"));
  ViewOptions view;
  view.width = context.columns > 0 ? context.columns : 140;
  view.color = context.color;
  const int64_t now = absl::ToUnixMicros(absl::Now());
  std::vector<std::string> cached;
  for (const StageView& stage : model.stages()) {
    if (stage.state == CACHED && !context.arguments.all) {
      cached.push_back(stage.name());
      continue;
    }
    if (!cached.empty()) Print(absl::StrCat(CachedLine(cached, view), "\n"));
    cached.clear();
    std::string line = FinishedLine(model, stage, view);
    if (stage.state == RUNNING && !model.finished()) {
      absl::StrAppend(&line, "   ", goes_on ? RunningPhrase(stage, now) : "when the run was killed");
    }
    Print(absl::StrCat(line, "\n"));
    if (stage.state == FAILED) {
      for (const std::string& failure : FailureLines(stage, run->folder, "", view)) Print(absl::StrCat(failure, "\n"));
    }
  }
  if (!cached.empty()) Print(absl::StrCat(CachedLine(cached, view), "\n"));
  return kExitOk;
}

int LogsVerb(CommandContext& context) {
  absl::StatusOr<PastRun> asked = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!asked.ok()) return ReportError(asked.status());
  absl::StatusOr<StageOfRun> found =
      FindStage(context.paths.home, *std::move(asked), context.arguments.operands[0], context.arguments.run.empty());
  if (found.ok()) found = FindOrigin(context.paths.home, *std::move(found));
  if (!found.ok()) return ReportError(found.status());
  if (!found->note.empty()) std::fprintf(stderr, "%s\n", found->note.c_str());
  const PastRun& run = found->run;
  const StageView* stage = run.model.Find(found->stage);
  const int rank = context.arguments.rank;
  std::string path = JoinPath(run.folder, LogPathOf(*stage, rank));
  if (!context.arguments.follow) {
    const bool ended = stage->state == COMPLETE || stage->state == FAILED || stage->state == GATE_FAILED;
    if (ended && rank < std::max(1, stage->info.ranks()) && FileSize(path).value_or(0) == 0) {
      std::fprintf(stderr, "\"%s\" wrote nothing to its log\n", found->stage.c_str());
      return kExitOk;
    }
    if (!FileExists(path)) return ReportError(NoLog(run, *stage, path, rank));
    PrintFrom(path, 0);
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<RunLogReader>> reader = RunLogReader::Open(run.folder);
  if (!reader.ok()) return ReportError(reader.status());
  RunModel model;
  int64_t offset = 0;
  while (true) {
    const bool goes_on = GoesOn(context.paths.home, run.id);  // before the log is read: its last event is in it then
    const absl::Status status = (*reader)->Read([&](const RunEvent& event) { model.Apply(event); });
    if (!status.ok()) return ReportError(status);
    const StageView* now = model.Find(found->stage);
    const std::string current = JoinPath(run.folder, LogPathOf(*now, rank));
    if (current != path) {  // another attempt
      path = current;
      offset = 0;
    }
    offset = PrintFrom(path, offset);
    if (now->finished() || model.finished()) return kExitOk;
    if (!goes_on) {
      std::fprintf(stderr, "run %s was killed before \"%s\" had ended\n", run.id.c_str(), found->stage.c_str());
      return kExitOk;
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
}

int ReportVerb(CommandContext& context) {
  absl::StatusOr<PastRun> run = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!run.ok()) return ReportError(run.status());
  const std::string path = context.arguments.output.empty()
                               ? absl::StrCat(context.paths.out, "/", run->model.started().pipeline(), "/report.html")
                               : context.paths.Resolve(context.arguments.output);
  const absl::Status status = WriteReport(run->model, FactsOf(context, run->model.started()), context.paths.home, path);
  if (!status.ok()) return ReportMachineError(status);
  Print(absl::StrCat(context.paths.Shown(path), "\n"));
  return kExitOk;
}

}  // namespace millrace
