// The lines of the progress display, as functions of a run and a width: nothing here reads a clock or a terminal.
#ifndef MILLRACE_EXECUTOR_OBSERVE_PROGRESS_VIEW_H_
#define MILLRACE_EXECUTOR_OBSERVE_PROGRESS_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "executor/observe/run_model.h"

namespace millrace {

struct ViewOptions {
  int width = 80;  // columns; no line of a frame is wider
  int rows = 24;   // of the terminal; a frame takes a third of them at most (four lines at least)
  bool color = false;
  bool utf8 = true;
};

// How fast a stage goes now, from its last 20 s.
struct StagePace {
  absl::optional<double> per_second;   // in units of its progress
  absl::optional<double> eta_seconds;  // only once it has been watched for 2 s
};
StagePace PaceOf(const StageView& stage);

// The block that is redrawn: a line for each running stage, the longest running first, and the totals.
//
//     pretrain  [############--------]  1 420/2 363 steps  loss 3.71  16.1 k tok/s  ETA 1:01
//     11 of 13 done, 1 running, 1 waiting   2:14
//
// Where the width does not do, fields go in this order: details but the first, rate, ETA, half of the bar, the bar,
// the first detail, the counts; the name is cut in its middle.
std::vector<std::string> FrameLines(const RunModel& model, int64_t now_micros, const ViewOptions& options);

// "1 420/2 363 steps, loss 3.71, ETA 1:01": a running stage in the middle of a sentence.
std::string RunningPhrase(const StageView& stage, int64_t now_micros);

// "  done    unique  1.9 s  2 684 kept, ...": the line that stays of a stage that ended.
std::string FinishedLine(const RunModel& model, const StageView& stage, const ViewOptions& options);
// "  cached  4 stages: web_en, web_zh, code, reference".
std::string CachedLine(const std::vector<std::string>& stages, const ViewOptions& options);

// What is shown of a failure: the error, the last lines of the log, where it lies, how to run just that stage again.
std::vector<std::string> FailureLines(const StageView& stage, absl::string_view run_folder,
                                      absl::string_view rerun_command, const ViewOptions& options);

// `text` between the escape sequences of a style, or as it is without `color`. Styles: "bold", "dim", "green", "red",
// "yellow", "cyan".
std::string Styled(absl::string_view text, absl::string_view style, bool color);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_PROGRESS_VIEW_H_
