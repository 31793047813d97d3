#include "executor/observe/progress_display.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/quantity.h"
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"

namespace millrace {
namespace {

constexpr int64_t kFrameMicros = 100'000;
// A stage that ends sooner gets no line of its own for its start.
constexpr int64_t kAnnounceMicros = 1'000'000;
constexpr size_t kMaxWarningsShown = 20;

// Lines of a note, one behind the other.
std::string OneLine(absl::string_view text) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace()))
    lines.push_back(Printable(absl::StripAsciiWhitespace(line)));
  return absl::StrJoin(lines, "; ");
}

}  // namespace

ViewOptions ProgressDisplay::View() const {
  ViewOptions view;
  if (options_.mode == ProgressMode::kTty) {
    const TerminalSize size = options_.size();
    view.width = std::max(1, size.columns - 1);  // the last column makes some terminals wrap
    view.rows = size.rows;
  } else {
    view.width = 1000;
  }
  view.color = options_.color;
  view.utf8 = options_.utf8;
  return view;
}

void ProgressDisplay::Print(std::string line) {
  if (options_.mode == ProgressMode::kPlain) {
    const double elapsed = (options_.now_micros() - model_.start_micros()) * 1e-6;
    line = absl::StrCat(PadLeft(FormatClock(elapsed), 7), line);
  }
  pending_.push_back(options_.mode == ProgressMode::kTty ? WrapText(line, View().width, 8) : std::move(line));
}

void ProgressDisplay::PrintHeader() {
  if (header_printed_) return;
  header_printed_ = true;
  if (options_.header) pending_.push_back(WrapText(options_.header(), View().width, 2));
  if (options_.mode == ProgressMode::kPlain) {
    pending_.push_back(absl::StrFormat("(a line for each change, and every %g s for what runs; --progress=tty, quiet)",
                                       options_.heartbeat_seconds));
  }
}

void ProgressDisplay::PrintCached() {
  if (cached_.empty()) return;
  ViewOptions view = View();
  if (options_.mode == ProgressMode::kPlain) view.width = 120;
  Print(CachedLine(cached_, view));
  cached_.clear();
}

void ProgressDisplay::OnEvent(const RunEvent& event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_) return;
  model_.Apply(event);
  if (event.what_case() == RunEvent::kRunStarted) {
    last_heartbeat_micros_ = options_.now_micros();
  } else if (event.what_case() == RunEvent::kNote && options_.mode != ProgressMode::kQuiet) {
    Print(absl::StrCat("  ", Styled("note  ", "yellow", options_.color), "  ", OneLine(event.note())));
  } else if (event.what_case() == RunEvent::kStageChanged) {
    if (const StageView* stage = model_.Find(event.stage_changed().stage())) Show(*stage);
  } else if (event.stage_reported().event().has_warning() && options_.mode != ProgressMode::kQuiet &&
             warnings_shown_ <= kMaxWarningsShown) {
    const std::string text =
        ++warnings_shown_ > kMaxWarningsShown
            ? "more warnings follow; the report has them"
            : absl::StrCat(event.stage_reported().stage(), ": ", Printable(event.stage_reported().event().warning()));
    Print(absl::StrCat("  ", Styled("warn  ", "yellow", options_.color), "  ", text));
  }
  if (options_.mode != ProgressMode::kTty || options_.now_micros() - last_draw_micros_ >= kFrameMicros) Draw(true);
}

void ProgressDisplay::Show(const StageView& stage) {
  const bool quiet = options_.mode == ProgressMode::kQuiet;
  switch (stage.state) {
    case WAITING:
    case READY:
      if (!stage.error.empty() && !quiet) {  // an attempt failed, another follows
        Print(absl::StrCat("  ", Styled("retry ", "yellow", options_.color), "  ", stage.name(), ": ",
                           Printable(stage.error)));
      }
      break;
    case RUNNING:
      something_ran_ = true;
      if (quiet) break;
      PrintHeader();
      PrintCached();
      unannounced_.insert(stage.name());
      break;
    case CACHED:
      if (!quiet) cached_.push_back(stage.name());
      break;
    case COMPLETE:
      unannounced_.erase(stage.name());
      if (quiet) break;
      PrintCached();
      Print(FinishedLine(model_, stage, View()));
      break;
    case FAILED:
    case GATE_FAILED: {
      unannounced_.erase(stage.name());
      if (!quiet) {
        PrintHeader();
        PrintCached();
      }
      Print(FinishedLine(model_, stage, View()));
      const std::string again = options_.rerun_command ? options_.rerun_command(stage.name()) : "";
      const std::string folder = absl::StrCat(options_.runs_folder, "/", model_.started().run_id());
      for (std::string& line : FailureLines(stage, folder, again, View())) pending_.push_back(std::move(line));
      Draw(true);
      break;
    }
    case SKIPPED:
      unannounced_.erase(stage.name());
      break;
  }
}

void ProgressDisplay::Heartbeat(int64_t now) {
  std::vector<std::string> parts;
  for (const StageView& stage : model_.stages()) {
    if (stage.state != RUNNING) continue;
    if (parts.size() == 4) {
      parts.push_back(absl::StrCat("and ", model_.Count(RUNNING) - 4, " more"));
      break;
    }
    parts.push_back(absl::StrCat(stage.name(), " ", RunningPhrase(stage, now)));
  }
  const int done = model_.Count(CACHED) + model_.Count(COMPLETE) + model_.Count(GATE_FAILED);
  Print(absl::StrCat("  running ", absl::StrJoin(parts, "; "), "   (", done, " of ", model_.stages().size(), " done)"));
}

void ProgressDisplay::Tick() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_) return;
  const int64_t now = options_.now_micros();
  if (const std::string note = options_.take_note ? options_.take_note() : ""; !note.empty()) {
    Print(absl::StrCat("  ", Styled("note  ", "yellow", options_.color), "  ", note));
  }
  if (options_.mode == ProgressMode::kPlain) {
    for (auto name = unannounced_.begin(); name != unannounced_.end();) {
      const StageView* stage = model_.Find(*name);
      if (now - stage->started_micros < kAnnounceMicros) {
        ++name;
        continue;
      }
      Print(absl::StrCat(
          "  start   ", *name, stage->attempt > 1 ? absl::StrCat(" (attempt ", stage->attempt, ")") : "",
          stage->resumed_from_step > 0 ? absl::StrCat(", from step ", FormatGrouped(stage->resumed_from_step)) : ""));
      name = unannounced_.erase(name);
    }
    if (model_.Count(RUNNING) > 0 && now - last_heartbeat_micros_ >= options_.heartbeat_seconds * 1e6) {
      last_heartbeat_micros_ = now;
      Heartbeat(now);
    }
  }
  if (options_.mode != ProgressMode::kTty || now - last_draw_micros_ >= kFrameMicros) Draw(true);
}

void ProgressDisplay::Finish() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_) return;
  if (something_ran_) PrintCached();
  Draw(false);
  finished_ = true;
  if (options_.mode == ProgressMode::kTty) ShowCursor();
}

bool ProgressDisplay::something_ran() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return something_ran_;
}

// One write: back to the block's first line, the lines that stay, the new block, and nothing below it.
void ProgressDisplay::Draw(bool with_block) {
  std::string frame;
  if (options_.mode != ProgressMode::kTty) {
    for (const std::string& line : pending_) absl::StrAppend(&frame, line, "\n");
    pending_.clear();
    if (!frame.empty()) options_.write(frame);
    return;
  }
  last_draw_micros_ = options_.now_micros();
  const ViewOptions view = View();
  std::vector<std::string> block;
  if (with_block && something_ran_) block = FrameLines(model_, last_draw_micros_, view);
  if (pending_.empty() && block.empty() && block_widths_.empty()) return;

  // A terminal that became narrower has wrapped the old lines.
  int up = 0;
  for (int width : block_widths_) up += std::max(1, (width + view.width) / (view.width + 1));
  if (!block_widths_.empty()) absl::StrAppend(&frame, "\r\x1b[", up, "A");
  if (view.width != last_width_) frame += "\x1b[J";  // what was wrapped there is gone before it is written over
  last_width_ = view.width;
  for (const std::string& line : pending_) absl::StrAppend(&frame, line, "\x1b[K\n");
  pending_.clear();
  block_widths_.clear();
  for (const std::string& line : block) {
    absl::StrAppend(&frame, line, "\x1b[K\n");
    block_widths_.push_back(DisplayWidth(Printable(line)));
  }
  absl::StrAppend(&frame, "\x1b[J");
  options_.write(frame);
}

Ticker::Ticker(ProgressDisplay& display)
    : thread_([this, &display] {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!stop_changed_.wait_for(lock, std::chrono::milliseconds(100), [this] { return stop_; })) display.Tick();
      }) {}

Ticker::~Ticker() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

}  // namespace millrace
