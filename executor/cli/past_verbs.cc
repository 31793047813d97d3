// `status`, `logs` and `report`: readers of a run's event log.
#include <unistd.h>

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
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/progress_view.h"

namespace millrace {
namespace {

std::string TimeText(int64_t micros) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(micros), absl::LocalTimeZone());
}

std::string OutcomeOf(const RunModel& model) {
  if (!model.finished()) return "not ended (it goes on, or was killed)";
  switch (model.finished()->exit_status()) {
    case 0:
      return "complete";
    case 1:
      return "a stage failed";
    case 4:
      return "a gate does not hold";
    case 130:
      return "interrupted";
    default:
      return absl::StrCat("ended with status ", model.finished()->exit_status());
  }
}

Json JsonOf(const PastRun& run) {
  Json json;
  json["run"] = run.id;
  json["folder"] = run.folder;
  json["pipeline"] = run.model.started().pipeline();
  json["profile"] = run.model.started().profile();
  json["file"] = run.model.started().file();
  json["finished"] = run.model.finished().has_value();
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
  if (context.arguments.json) {
    PrintJson(JsonOf(*run));
    return kExitOk;
  }
  const RunModel& model = run->model;
  const RunStarted& started = model.started();
  Print(absl::StrCat("run ", run->id, "  ", started.pipeline(),
                     started.profile().empty() ? "" : absl::StrCat(", profile ", started.profile()), "  started ",
                     TimeText(model.start_micros()), "  ", OutcomeOf(model),
                     model.finished() ? absl::StrCat(", ", FormatSeconds(model.finished()->duration_seconds())) : "",
                     "\n"));
  ViewOptions view;
  view.width = 140;
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
      absl::StrAppend(&line, "   ", RunningPhrase(stage, now));
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
  absl::StatusOr<PastRun> run = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!run.ok()) return ReportError(run.status());
  const std::string& name = context.arguments.operands[0];
  const StageView* stage = run->model.Find(name);
  if (stage == nullptr) {
    std::vector<std::string> names;
    for (const StageView& one : run->model.stages()) names.push_back(one.name());
    const std::string closest = Closest(name, names);
    return ReportError(absl::NotFoundError(absl::StrCat("run ", run->id, " has no stage \"", name, "\"",
                                                        closest.empty() ? "" : absl::StrCat("\n  fix: ", closest))));
  }
  // A cached stage's log is in the run that made it.
  if (stage->state == CACHED && stage->entry && stage->entry->run_id() != run->id) {
    absl::StatusOr<PastRun> origin = ReadRun(context.paths.home, stage->entry->run_id());
    if (!origin.ok() || origin->model.Find(name) == nullptr) {
      return ReportError(absl::NotFoundError(absl::StrCat("\"", name, "\" was cached, and the log of run ",
                                                          stage->entry->run_id(), " that made it is gone")));
    }
    std::fprintf(stderr, "cached: this is its log in run %s\n", origin->id.c_str());
    run = std::move(origin);
    stage = run->model.Find(name);
  }
  std::string path = JoinPath(run->folder, LogPathOf(*stage, context.arguments.rank));
  if (!context.arguments.follow) {
    if (!FileExists(path)) {
      return ReportError(absl::NotFoundError(
          absl::StrCat("there is no log ", path, "\n  why: the stage is ", StateName(stage->state),
                       context.arguments.rank > 0 ? absl::StrCat("; it has ", stage->info.ranks(), " ranks") : "")));
    }
    PrintFrom(path, 0);
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<RunLogReader>> reader = RunLogReader::Open(run->folder);
  if (!reader.ok()) return ReportError(reader.status());
  RunModel model;
  int64_t offset = 0;
  while (true) {
    const absl::Status status = (*reader)->Read([&](const RunEvent& event) { model.Apply(event); });
    if (!status.ok()) return ReportError(status);
    const StageView* now = model.Find(name);
    const std::string current = JoinPath(run->folder, LogPathOf(*now, context.arguments.rank));
    if (current != path) {  // another attempt
      path = current;
      offset = 0;
    }
    const bool ended = now->finished() || model.finished();
    offset = PrintFrom(path, offset);
    if (ended) return kExitOk;
    absl::SleepFor(absl::Milliseconds(200));
  }
}

int ReportVerb(CommandContext& context) {
  absl::StatusOr<PastRun> run = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!run.ok()) return ReportError(run.status());
  const std::string path = context.arguments.output.empty()
                               ? absl::StrCat(context.paths.out, "/", run->model.started().pipeline(), "/report.html")
                               : context.paths.Resolve(context.arguments.output);
  const absl::Status status = WriteReport(run->model, {}, context.paths.home, path);
  if (!status.ok()) return ReportMachineError(status);
  Print(absl::StrCat(context.paths.Shown(path), "\n"));
  return kExitOk;
}

}  // namespace millrace
