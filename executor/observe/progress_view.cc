#include "executor/observe/progress_view.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/quantity.h"
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"

namespace millrace {
namespace {

constexpr int kBarColumns = 20;
constexpr int kMaxNameColumns = 24;
constexpr double kMinPaceSeconds = 0.5;
constexpr double kMinEtaSeconds = 2;

const char* Ellipsis(const ViewOptions& options) { return options.utf8 ? "…" : "~"; }

std::string FormatAmount(double value, absl::string_view unit) {
  if (unit == "bytes") return FormatBytes(value);
  return FormatGrouped(std::llround(value));
}

// "1 420/2 363 steps", "12.1 MiB/16.2 MiB".
std::string CountText(const Progress& progress) {
  std::string text = FormatAmount(progress.done(), progress.unit());
  if (progress.has_total()) absl::StrAppend(&text, "/", FormatAmount(progress.total(), progress.unit()));
  if (progress.unit() != "bytes" && !progress.unit().empty()) absl::StrAppend(&text, " ", progress.unit());
  return text;
}

std::string RateText(const StageView& stage, const StagePace& pace) {
  if (absl::StrContains(stage.progress->detail(), "/s")) return "";  // the stage says it itself
  const auto speed = stage.curves.find("time.tokens_per_second");
  if (speed != stage.curves.end() && !speed->second.value.empty()) {
    return absl::StrCat(FormatGrouped(std::llround(speed->second.value.back() / 10) * 10), " tok/s");
  }
  if (!pace.per_second) return "";
  if (stage.progress->unit() == "bytes") return absl::StrCat(FormatBytes(*pace.per_second), "/s");
  const std::string& unit = stage.progress->unit();
  return absl::StrCat(FormatCount(*pace.per_second), unit.empty() ? "" : " ", unit, "/s");
}

std::string BarText(double fraction, int columns) {
  const int full = static_cast<int>(std::floor(std::clamp(fraction, 0.0, 1.0) * columns));
  return absl::StrCat("[", std::string(full, '#'), std::string(columns - full, '-'), "]");
}

struct Field {
  std::string text;
  absl::string_view style;
};

// One running stage with as many fields as fit.
std::string RunningLine(const StageView& stage, int64_t now_micros, int name_columns, const ViewOptions& options) {
  const StagePace pace = PaceOf(stage);
  std::string counts, rate, eta;
  std::vector<std::string> details;
  absl::optional<double> fraction;
  if (stage.progress) {
    counts = CountText(*stage.progress);
    rate = RateText(stage, pace);
    if (pace.eta_seconds) eta = absl::StrCat("ETA ", FormatClock(*pace.eta_seconds));
    if (stage.progress->has_total() && stage.progress->total() > 0) {
      fraction = stage.progress->done() / stage.progress->total();
    }
    const std::string detail = Printable(stage.progress->detail());
    for (absl::string_view piece : absl::StrSplit(detail, "  ", absl::SkipWhitespace())) {
      const absl::string_view trimmed = absl::StripAsciiWhitespace(piece);
      details.emplace_back(trimmed.data(), trimmed.size());
    }
  } else {
    counts = FormatClock((now_micros - stage.started_micros) * 1e-6);
  }
  if (stage.attempt > 1) details.insert(details.begin(), absl::StrCat("attempt ", stage.attempt));

  int bar_columns = fraction ? kBarColumns : 0;
  const auto fields = [&] {
    std::vector<Field> result;
    if (bar_columns > 0) result.push_back({BarText(*fraction, bar_columns), "green"});
    if (!counts.empty()) result.push_back({counts, ""});
    for (const std::string& detail : details) result.push_back({detail, ""});
    if (!rate.empty()) result.push_back({rate, "dim"});
    if (!eta.empty()) result.push_back({eta, ""});
    return result;
  };
  const auto width = [&] {
    int sum = 2 + name_columns;
    for (const Field& field : fields()) sum += 2 + DisplayWidth(field.text);
    return sum;
  };
  while (details.size() > 1 && width() > options.width) details.pop_back();
  if (width() > options.width) rate.clear();
  if (width() > options.width) eta.clear();
  if (width() > options.width) bar_columns /= 2;
  if (width() > options.width) bar_columns = 0;
  if (width() > options.width) details.clear();
  if (width() > options.width && name_columns > 8) name_columns = 8;
  if (width() > options.width) counts.clear();

  const int room = std::max(1, std::min(name_columns, options.width - 2));
  std::string line = absl::StrCat(
      "  ", Styled(PadRight(ElideMiddle(stage.name(), room, Ellipsis(options)), room), "bold", options.color));
  for (const Field& field : fields()) absl::StrAppend(&line, "  ", Styled(field.text, field.style, options.color));
  return line;
}

std::string Totals(const RunModel& model, int64_t now_micros, int hidden, const ViewOptions& options) {
  const int failed = model.Count(FAILED) + model.Count(GATE_FAILED);
  const int done = model.Count(CACHED) + model.Count(COMPLETE) + model.Count(GATE_FAILED);
  std::vector<std::string> parts = {absl::StrCat(done, " of ", model.stages().size(), " done")};
  if (model.Count(CACHED) > 0) parts.push_back(absl::StrCat(model.Count(CACHED), " cached"));
  if (model.Count(RUNNING) > 0) {
    parts.push_back(
        absl::StrCat(model.Count(RUNNING), " running", hidden > 0 ? absl::StrCat(" (", hidden, " not shown)") : ""));
  }
  const int waiting = model.Count(WAITING) + model.Count(READY);
  if (waiting > 0) parts.push_back(absl::StrCat(waiting, " waiting"));
  if (failed > 0) parts.push_back(absl::StrCat(failed, " failed"));
  const std::string clock = FormatClock((now_micros - model.start_micros()) * 1e-6);
  // The last parts go first; what is done and the clock stay.
  const auto text = [&] { return absl::StrCat("  ", absl::StrJoin(parts, ", "), "   ", clock); };
  while (parts.size() > 1 && DisplayWidth(text()) > options.width) parts.pop_back();
  return Styled(TruncateToWidth(text(), options.width, Ellipsis(options)), "dim", options.color);
}

int NameColumns(const RunModel& model) {
  int columns = 0;
  for (const StageView& stage : model.stages()) {
    columns = std::max(columns, DisplayWidth(stage.name()));
    if (columns >= kMaxNameColumns) return kMaxNameColumns;
  }
  return columns;
}

}  // namespace

std::string Styled(absl::string_view text, absl::string_view style, bool color) {
  static const auto& codes = *new std::map<absl::string_view, absl::string_view>{
      {"bold", "1"}, {"dim", "2"}, {"green", "32"}, {"red", "1;31"}, {"yellow", "33"}, {"cyan", "36"}};
  const auto code = codes.find(style);
  if (!color || text.empty() || code == codes.end()) return std::string(text.data(), text.size());
  return absl::StrCat("\x1b[", code->second, "m", text, "\x1b[0m");
}

StagePace PaceOf(const StageView& stage) {
  StagePace pace;
  if (!stage.progress || stage.recent.size() < 2) return pace;
  const ProgressSample& first = stage.recent.front();
  const ProgressSample& last = stage.recent.back();
  const double seconds = (last.time_micros - first.time_micros) * 1e-6;
  const double done = last.done - first.done;
  if (seconds < kMinPaceSeconds || done <= 0) return pace;
  pace.per_second = done / seconds;
  if (stage.progress->has_total() && seconds >= kMinEtaSeconds) {
    pace.eta_seconds = std::max(0.0, stage.progress->total() - stage.progress->done()) / *pace.per_second;
  }
  return pace;
}

std::vector<std::string> FrameLines(const RunModel& model, int64_t now_micros, const ViewOptions& options) {
  std::vector<const StageView*> running;
  for (const StageView& stage : model.stages()) {
    if (stage.state == RUNNING) running.push_back(&stage);
  }
  std::stable_sort(running.begin(), running.end(), [](const StageView* a, const StageView* b) {
    return a->first_started_micros < b->first_started_micros;
  });
  const int limit = std::max(3, options.rows / 3 - 1);
  const int shown = std::min<int>(running.size(), limit);
  int name_columns = 0;
  for (int i = 0; i < shown; ++i) name_columns = std::max(name_columns, DisplayWidth(running[i]->name()));
  name_columns = std::min(name_columns, kMaxNameColumns);
  std::vector<std::string> lines;
  for (int i = 0; i < shown; ++i) lines.push_back(RunningLine(*running[i], now_micros, name_columns, options));
  lines.push_back(Totals(model, now_micros, running.size() - shown, options));
  return lines;
}

std::string RunningPhrase(const StageView& stage, int64_t now_micros) {
  const StagePace pace = PaceOf(stage);
  std::vector<std::string> parts;
  if (stage.progress) {
    parts.push_back(CountText(*stage.progress));
    std::string detail = Printable(stage.progress->detail());
    while (absl::StrContains(detail, "  ")) detail = absl::StrReplaceAll(detail, {{"  ", " "}});
    if (!detail.empty()) parts.push_back(detail);
    const std::string rate = RateText(stage, pace);
    if (!rate.empty()) parts.push_back(rate);
    if (pace.eta_seconds) parts.push_back(absl::StrCat("ETA ", FormatClock(*pace.eta_seconds)));
  } else {
    parts.push_back(absl::StrCat("for ", FormatClock((now_micros - stage.started_micros) * 1e-6)));
  }
  return absl::StrJoin(parts, ", ");
}

std::string FinishedLine(const RunModel& model, const StageView& stage, const ViewOptions& options) {
  absl::string_view word = StateName(stage.state);
  absl::string_view style = "green";
  if (stage.state == RUNNING) word = "runs";  // words of at most six columns
  if (stage.state == WAITING) word = "waits";
  if (stage.state == SKIPPED) word = "skip";
  if (stage.state == FAILED) word = "FAILED", style = "red";
  if (stage.state == GATE_FAILED) word = "GATE", style = "red";
  if (stage.state == CACHED) style = "cyan";
  if (stage.state == SKIPPED) style = "yellow";
  const int name_columns = std::min(NameColumns(model), std::max(8, options.width / 3));
  const std::string duration = stage.ran() ? FormatSeconds(stage.DurationSeconds()) : "";
  const std::string tail = stage.state == GATE_FAILED && stage.entry ? stage.entry->gate_message()
                           : stage.state == FAILED                   ? ""
                                                                     : StageHeadline(stage);
  const std::string head = absl::StrCat(
      "  ", Styled(PadRight(word, 6), style, options.color), "  ",
      Styled(PadRight(ElideMiddle(stage.name(), name_columns, Ellipsis(options)), name_columns), "bold", options.color),
      "  ", PadLeft(duration, 8));
  const int used = 2 + 6 + 2 + name_columns + 2 + std::max(8, DisplayWidth(duration));
  if (tail.empty() || options.width - used - 3 < 8) return head;
  return absl::StrCat(head, "   ", TruncateToWidth(Printable(tail), options.width - used - 3, Ellipsis(options)));
}

std::string CachedLine(const std::vector<std::string>& stages, const ViewOptions& options) {
  std::string text = stages.size() == 1 ? "" : absl::StrCat(stages.size(), " stages: ");
  const int room = options.width - 10;
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::string more = i + 1 < stages.size() ? absl::StrCat(" and ", stages.size() - i - 1, " more") : "";
    const std::string next = absl::StrCat(i == 0 ? "" : ", ", stages[i]);
    // This name and the note on the rest must fit, else the note goes here.
    if (i > 0 && DisplayWidth(text) + DisplayWidth(next) + DisplayWidth(more) > room) {
      absl::StrAppend(&text, " and ", stages.size() - i, " more");
      break;
    }
    absl::StrAppend(&text, next);
  }
  return absl::StrCat("  ", Styled("cached", "cyan", options.color), "  ",
                      TruncateToWidth(text, std::max(1, room), Ellipsis(options)));
}

std::vector<std::string> FailureLines(const StageView& stage, absl::string_view run_folder,
                                      absl::string_view rerun_command, const ViewOptions& options) {
  std::vector<std::string> lines;
  if (stage.state == GATE_FAILED) {
    lines.push_back("    the stage is complete and kept; what is behind it does not run");
  }
  for (absl::string_view line : absl::StrSplit(stage.error, '\n', absl::SkipEmpty())) {
    lines.push_back(WrapText(absl::StrCat("    ", Printable(line)), options.width, 2));
  }
  const std::string log = stage.log_path.empty() ? "" : absl::StrCat(run_folder, "/", stage.log_path);
  if (!stage.log_tail.empty()) {
    lines.push_back(absl::StrCat("    last ", stage.log_tail.size(), stage.log_tail.size() == 1 ? " line" : " lines",
                                 " of its log:"));
    for (const std::string& line : stage.log_tail) {
      lines.push_back(absl::StrCat("    ", Styled("|", "dim", options.color), " ", Printable(line)));
    }
  }
  if (!log.empty()) lines.push_back(absl::StrCat("    log:   ", log));
  if (!rerun_command.empty()) lines.push_back(absl::StrCat("    again: ", rerun_command));
  return lines;
}

}  // namespace millrace
