// Shows a run while it goes on.
//
// kTty: finished stages scroll up as one line each, what runs is a block of lines at the bottom that is redrawn at most
// ten times a second, with one write each time. kPlain: a line for each change, and every 30 s what runs. kQuiet:
// failures. In each mode stages that are cached show as one line, and only once something else happens: a run with
// nothing to do prints nothing here.
#ifndef MILLRACE_EXECUTOR_OBSERVE_PROGRESS_DISPLAY_H_
#define MILLRACE_EXECUTOR_OBSERVE_PROGRESS_DISPLAY_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "executor/observe/progress_view.h"
#include "executor/observe/run_model.h"
#include "executor/observe/terminal.h"

namespace millrace {

struct ProgressOptions {
  ProgressMode mode = ProgressMode::kPlain;
  bool color = false;
  bool utf8 = true;
  std::function<int64_t()> now_micros;           // Unix time
  std::function<TerminalSize()> size;            // asked for at each frame, so that a new size is seen
  std::function<void(absl::string_view)> write;  // all of the text or nothing
  std::function<std::string()> header;           // asked once, and printed before the first stage that runs
  std::string runs_folder;                       // holds the run's folder, for paths of logs
  std::function<std::string(const std::string& stage)> rerun_command;  // the command that runs just this stage
  std::function<std::string()> take_note;  // asked at each tick; what it returns, unless empty, is printed
  double heartbeat_seconds = 30;
};

// Thread-safe.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(ProgressOptions options) : options_(std::move(options)) {}

  // The run's next event.
  void OnEvent(const RunEvent& event);
  // Time has passed. Ticker calls it ten times a second.
  void Tick();
  // Takes the block away and prints what was held back. Nothing is drawn afterwards.
  void Finish();

  // Whether a stage has begun to run.
  bool something_ran() const;
  // The run so far; call after Finish.
  RunModel& model() ABSL_NO_THREAD_SAFETY_ANALYSIS { return model_; }

 private:
  void Show(const StageView& stage) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Print(std::string line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PrintHeader() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PrintCached() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Draw(bool with_block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Heartbeat(int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ViewOptions View() const;

  const ProgressOptions options_;
  mutable std::mutex mutex_;
  RunModel model_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> pending_ ABSL_GUARDED_BY(mutex_);   // lines to stay, not yet written
  std::vector<std::string> cached_ ABSL_GUARDED_BY(mutex_);    // cached stages not yet shown
  std::set<std::string> unannounced_ ABSL_GUARDED_BY(mutex_);  // kPlain: running, no line yet
  std::vector<int> block_widths_ ABSL_GUARDED_BY(mutex_);      // of the lines on the screen that are redrawn
  int last_width_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t warnings_shown_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_draw_micros_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_heartbeat_micros_ ABSL_GUARDED_BY(mutex_) = 0;
  bool header_printed_ ABSL_GUARDED_BY(mutex_) = false;
  bool something_ran_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

// Calls display.Tick() from a thread of its own, ten times a second, until it is destroyed.
class Ticker {
 public:
  explicit Ticker(ProgressDisplay& display);
  ~Ticker();

 private:
  std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_PROGRESS_DISPLAY_H_
