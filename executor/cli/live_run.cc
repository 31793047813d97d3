#include "executor/cli/live_run.h"

#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "executor/cli/estimate.h"
#include "executor/engine/machine.h"
#include "executor/graph/load.h"
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/progress_display.h"
#include "executor/observe/terminal.h"
#include "pipelines/schema/evaluate.pb.h"

namespace millrace {
namespace {

// The engine that signals go to. Set only while a run goes on.
std::atomic<Engine*> interruptible{nullptr};
std::atomic<int> signals{0};

void OnSignal(int) {
  ++signals;
  if (Engine* engine = interruptible.load()) engine->Interrupt();
}

class SignalScope {
 public:
  explicit SignalScope(Engine* engine) {
    signals = 0;
    interruptible = engine;
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &old_[i]);
  }
  ~SignalScope() {
    for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &old_[i], nullptr);
    interruptible = nullptr;
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction old_[3] = {};
};

void WriteToStderr(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(written);
  }
}

const char* GetEnv(const char* name) { return std::getenv(name); }

// "interrupted: ..." once the first signal has come.
std::string TakeNote() {
  static std::atomic<int> told{0};
  const int count = signals.load();
  if (count == 0) told = 0;
  if (told.load() >= count) return "";
  told = count;
  return count == 1 ? "interrupted: what runs is asked to publish what is whole; once more kills it"
                    : "interrupted again: what runs is killed";
}

// What to do after a run: the verb that says before anything is spent what a change would redo, on the stage that is
// the point of the pipeline: what trains, else the last one.
std::string NextLine(const CommandContext& context, const ResolvedPipeline& pipeline, const RunResult& result) {
  if (result.exit_status == 130) {
    std::vector<std::string> only;
    for (const std::string& stage : context.arguments.only) only.push_back(absl::StrCat("--only=", stage));
    return absl::StrCat("Next: ", CommandText(context, "run", {}, only), "   (goes on from what is whole)\n");
  }
  if (result.exit_status != 0 || context.arguments.verb != "run" || pipeline.stages.empty()) return "";
  std::string stage = pipeline.stages.back().name;
  for (const ResolvedStage& one : pipeline.stages) {
    if (one.kind == "train") stage = one.name;
  }
  return absl::StrCat("Next: ", CommandText(context, "explain", {stage}, {}),
                      "   (with --set PATH=VALUE: what a change would redo)\n");
}

// ". About 3 min, 810 MiB of disk." of what is not cached; "" where nothing is known of it.
std::string EstimateSentence(Engine& engine, const ResolvedPipeline& pipeline, const EngineOptions& options,
                             const ToolManifest* new_tools) {
  if (pipeline.stages.size() > kMaxKeyRecords) return "";  // it would take longer than it is worth
  const absl::StatusOr<std::vector<StagePlan>> plans = engine.Plan(pipeline);
  if (!plans.ok()) return "";
  const RunEstimate estimate = EstimateRun(
      pipeline, *plans, {.cpus = options.jobs > 0 ? options.jobs : NumProcessors(), .new_tools = new_tools});
  std::string text = EstimateText(estimate);
  if (text.empty()) return "";
  text[0] = absl::ascii_toupper(text[0]);
  struct statvfs disk;
  if (::statvfs(options.home.c_str(), &disk) == 0) {
    const double free_bytes = static_cast<double>(disk.f_bavail) * disk.f_frsize;
    if (free_bytes < estimate.disk_bytes)
      absl::StrAppend(&text, " (", FormatBytes(free_bytes), " are free in ", options.home, ")");
  }
  return absl::StrCat(". ", text, ".");
}

// Where the file's default profile was taken, those that it has beside it.
std::string OtherProfiles(const CommandContext& context, const ResolvedPipeline& pipeline) {
  if (!context.arguments.profile.empty() || pipeline.profile.empty()) return "";
  const absl::StatusOr<std::string> text = ReadFile(context.paths.file);
  if (!text.ok()) return "";
  std::vector<std::string> others = ProfileNames(*text);
  others.erase(std::remove(others.begin(), others.end(), pipeline.profile), others.end());
  if (others.empty()) return "";
  return absl::StrCat("\nIts other profiles: ", absl::StrJoin(others, ", "), " (--profile=NAME).");
}

}  // namespace

absl::StatusOr<LiveRun> RunLive(const CommandContext& context, const ResolvedPipeline& pipeline,
                                const EngineOptions& options, const std::string& header, int& exit_status) {
  const bool is_terminal = ::isatty(STDERR_FILENO) != 0;
  ProgressOptions progress;
  absl::StatusOr<ProgressMode> mode = ChooseProgressMode(context.arguments.progress, is_terminal, GetEnv);
  absl::StatusOr<bool> color = ChooseColor(context.arguments.color, is_terminal, GetEnv);
  for (const absl::Status& status : {mode.status(), color.status()}) {
    if (status.ok()) continue;
    exit_status = ReportError(status);
    return status;
  }
  progress.mode = *mode;
  progress.color = *color;
  progress.utf8 = ChooseUtf8(GetEnv);
  progress.now_micros = [] { return absl::ToUnixMicros(absl::Now()); };
  progress.size = [] { return TerminalSizeOf(STDERR_FILENO); };
  progress.write = WriteToStderr;
  progress.runs_folder = JoinPath(options.home, "runs");
  progress.take_note = TakeNote;
  progress.rerun_command = [&](const std::string& stage) {
    return CommandText(context, "run", {}, {absl::StrCat("--only=", stage)});
  };

  LiveRun run;
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(options, &ManifestOf(context));
  if (!engine.ok()) {
    exit_status = ReportMachineError(engine.status());
    return engine.status();
  }
  run.engine = *std::move(engine);
  const ToolManifest* new_tools = HasTools(options.home) ? nullptr : &ManifestOf(context);
  progress.header = [&, new_tools] {
    return absl::StrCat(header, EstimateSentence(*run.engine, pipeline, options, new_tools),
                        OtherProfiles(context, pipeline));
  };

  ProgressDisplay display(std::move(progress));
  absl::StatusOr<RunResult> result;
  {
    const SignalScope scope(run.engine.get());
    const Ticker ticker(display);
    bool cursor_hidden = *mode != ProgressMode::kTty;
    result = run.engine->Run(pipeline, [&](const RunEvent& event) {
      if (!cursor_hidden && event.stage_changed().state() == RUNNING) {
        HideCursorUntilExit(STDERR_FILENO);
        cursor_hidden = true;
      }
      display.OnEvent(event);
    });
  }
  display.Finish();
  if (!result.ok()) {
    exit_status = ReportError(result.status());
    return result.status();
  }
  run.result = *std::move(result);
  run.something_ran = display.something_ran();
  run.model = std::move(display.model());
  exit_status = run.result.exit_status;
  return run;
}

std::string RunSummary(const CommandContext& context, const ResolvedPipeline& pipeline, const LiveRun& run,
                       const std::string& report) {
  const RunModel& model = run.model;
  const std::string at = report.empty() ? "" : absl::StrCat("   report: ", context.paths.Shown(report));
  std::string results;  // of evaluate stages
  std::string in_short;
  for (const StageView& stage : model.stages()) {
    if (stage.info.kind() != "evaluate" || !stage.entry) continue;
    const std::string headline = StageHeadline(stage);
    if (headline.empty()) continue;
    const bool gated = stage.entry->gate_failed();
    const int index = pipeline.FindStage(stage.name());
    const int gates = index < 0 ? 0 : static_cast<const Evaluate&>(*pipeline.stages[index].parameters).gate_size();
    absl::StrAppend(&results, stage.name(), "  ", headline,
                    gated        ? absl::StrCat(": ", stage.entry->gate_message())
                    : gates == 0 ? "."
                    : gates == 1 ? ": gate passed."
                                 : absl::StrCat(": ", gates, " gates passed."),
                    "\n");
    if (const BitsPerByte bits = BitsPerByteOf(stage); bits.model) {
      in_short = absl::StrFormat(" %.2f bits/byte.", *bits.model);
    }
  }
  const int count = model.stages().size();
  const double saved = model.finished() ? model.finished()->saved_seconds() : 0;
  if (!run.something_ran && run.result.exit_status == 0) {
    return WrapText(
        absl::StrFormat("%s: %s of %s cached, nothing to do (%.2f s%s).%s%s\n", PipelineTitle(context, pipeline),
                        FormatGrouped(model.Count(CACHED)), FormatGrouped(count), Elapsed(context),
                        saved > 0 ? absl::StrCat("; saved ", FormatSeconds(saved)) : "", in_short, at),
        context.columns, 4);
  }
  const int ran = model.Count(COMPLETE) + model.Count(GATE_FAILED) + model.Count(FAILED);
  std::string last = absl::StrCat(FormatGrouped(ran), ran == 1 ? " stage ran, " : " stages ran, ",
                                  FormatGrouped(model.Count(CACHED)), " cached");
  if (model.Count(FAILED) > 0) absl::StrAppend(&last, ", ", model.Count(FAILED), " failed");
  if (model.Count(GATE_FAILED) > 0) absl::StrAppend(&last, ", ", model.Count(GATE_FAILED), " with a failed gate");
  const bool interrupted = run.result.exit_status == 130;
  if (model.Count(SKIPPED) > 0)
    absl::StrAppend(&last, ", ", model.Count(SKIPPED), interrupted ? " not finished" : " did not run");
  absl::StrAppend(&last, ", ", FormatSeconds(Elapsed(context)), ".");
  if (interrupted) absl::StrAppend(&last, " Interrupted.");
  return absl::StrCat(WrapText(absl::StrCat(results, last, at, "\n"), context.columns, 4),
                      NextLine(context, pipeline, run.result));
}

Json RunJson(const CommandContext& context, const LiveRun& run, const std::string& report) {
  Json json;
  json["run"] = run.result.run_id;
  json["exit_status"] = run.result.exit_status;
  json["seconds"] = Elapsed(context);
  if (!report.empty()) json["report"] = report;
  json["stages"] = Json::array();
  for (const StageView& stage : run.model.stages()) {
    Json one;
    one["name"] = stage.name();
    one["kind"] = stage.info.kind();
    one["state"] = StateName(stage.state).data();
    if (!stage.key.empty()) one["key"] = stage.key;
    one["seconds"] = stage.DurationSeconds();
    if (!stage.error.empty()) one["error"] = stage.error;
    if (stage.entry) {
      for (const OutputTree& output : stage.entry->output()) one["outputs"][output.name()] = output.digest();
      if (!stage.entry->gate_message().empty()) one["gate"] = stage.entry->gate_message();
    }
    for (const auto& [name, value] : stage.metrics) one["metrics"][name] = value;
    json["stages"].push_back(std::move(one));
  }
  return json;
}

}  // namespace millrace
