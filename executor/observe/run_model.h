// A run as its events tell it: what every viewer (progress, summary, report, `status`) shows.
//
// Fold the events of a log, or of a live run, in order; a log that breaks off gives the run as far as it came.
// Not thread-safe.
#ifndef MILLRACE_EXECUTOR_OBSERVE_RUN_MODEL_H_
#define MILLRACE_EXECUTOR_OBSERVE_RUN_MODEL_H_

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "executor/cas/entry.pb.h"
#include "executor/engine/run_event.pb.h"

namespace millrace {

// Values by step, steps ascending.
struct CurveView {
  std::vector<int64_t> step;
  std::vector<double> value;
};

struct ProgressSample {
  int64_t time_micros = 0;
  double done = 0;
};

struct StageView {
  StageInfo info;
  StageState state = WAITING;
  // Unix time; 0: has not happened. `started_micros` is of the last attempt.
  int64_t first_started_micros = 0;
  int64_t started_micros = 0;
  int64_t finished_micros = 0;
  int attempt = 0;

  std::string key;
  KeyRecord key_record;
  std::string tool_digest;
  absl::optional<ActionEntry> entry;  // CACHED, COMPLETE, GATE_FAILED

  std::string error;
  std::vector<std::string> log_tail;
  std::string log_path;  // relative to the run's folder

  int64_t resumed_from_step = 0;
  int64_t total_steps = 0;
  int64_t last_checkpoint_step = 0;

  // What it said while it ran; of a finished stage the entry's figures win. Names that begin with "time." are only
  // here.
  absl::optional<Progress> progress;
  std::vector<ProgressSample> recent;  // the last 20 s of `progress`
  std::map<std::string, double> metrics;
  std::map<std::string, CurveView> curves;
  std::vector<Example> examples;
  std::vector<std::string> warnings;

  const std::string& name() const { return info.name(); }
  bool finished() const { return state >= CACHED; }
  bool ran() const { return state == COMPLETE || state == GATE_FAILED || (state == FAILED && started_micros > 0); }
  // Of the stage here, or, when it was cached, of the run that made it. 0: unknown.
  double DurationSeconds() const;
  // Nothing: it has no such metric.
  absl::optional<double> FindMetric(absl::string_view metric) const;
};

class RunModel {
 public:
  void Apply(const RunEvent& event);

  // What a cached stage does not say of the run that made it, taken from that run's model: "time." curves and metrics.
  void AdoptTimes(absl::string_view stage, const RunModel& origin);

  const RunStarted& started() const { return started_; }
  // In topological order.
  const std::vector<StageView>& stages() const { return stages_; }
  const StageView* Find(absl::string_view stage) const;
  // How many stages are in `state`.
  int Count(StageState state) const { return counts_[state]; }

  int64_t start_micros() const { return start_micros_; }
  int64_t last_micros() const { return last_micros_; }
  const absl::optional<RunFinished>& finished() const { return finished_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  StageView* FindMutable(absl::string_view stage);
  void ApplyChange(const StageChanged& change, int64_t time_micros);
  void ApplyReport(const StageReported& report, int64_t time_micros);

  RunStarted started_;
  std::vector<StageView> stages_;
  std::unordered_map<std::string, int> index_;
  // Where Find looks first: events are mostly about one stage after the other, in order.
  mutable size_t last_found_ = 0;
  int counts_[StageState_MAX + 1] = {};
  int64_t start_micros_ = 0;
  int64_t last_micros_ = 0;
  absl::optional<RunFinished> finished_;
  std::vector<std::string> notes_;
};

// "waiting", "gate failed": for people.
absl::string_view StateName(StageState state);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_RUN_MODEL_H_
