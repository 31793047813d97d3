#include "executor/observe/run_model.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr int64_t kRecentMicros = 20'000'000;
// A stage's examples are bounded by the engine; this bounds what a misbehaving one can make us hold.
constexpr size_t kMaxExamples = 1000;
constexpr size_t kMaxWarnings = 200;

// Adds a point. Steps that come again (a retry, a resumed run) replace what was known from there on.
void AddPoint(CurveView& curve, int64_t step, double value) {
  while (!curve.step.empty() && curve.step.back() >= step) {
    curve.step.pop_back();
    curve.value.pop_back();
  }
  curve.step.push_back(step);
  curve.value.push_back(value);
}

CurveView ViewOf(const Curve& curve) {
  CurveView view;
  const int count = std::min(curve.step_size(), curve.value_size());
  view.step.assign(curve.step().begin(), curve.step().begin() + count);
  view.value.assign(curve.value().begin(), curve.value().begin() + count);
  return view;
}

}  // namespace

double StageView::DurationSeconds() const {
  if (state == CACHED) return entry ? entry->duration_seconds() : 0;
  if (started_micros > 0 && finished_micros > 0) return (finished_micros - first_started_micros) * 1e-6;
  return entry ? entry->duration_seconds() : 0;
}

absl::optional<double> StageView::FindMetric(absl::string_view metric) const {
  const auto found = metrics.find(std::string(metric));
  if (found == metrics.end()) return absl::nullopt;
  return found->second;
}

void RunModel::Apply(const RunEvent& event) {
  const int64_t now = event.time_unix_micros();
  if (now > 0) last_micros_ = std::max(last_micros_, now);
  switch (event.what_case()) {
    case RunEvent::kRunStarted:
      started_ = event.run_started();
      start_micros_ = now;
      stages_.clear();
      index_.clear();
      std::fill(std::begin(counts_), std::end(counts_), 0);
      stages_.reserve(started_.stage_size());
      for (const StageInfo& info : started_.stage()) {
        index_[info.name()] = stages_.size();
        stages_.emplace_back().info = info;
      }
      counts_[WAITING] = stages_.size();
      break;
    case RunEvent::kStageChanged:
      ApplyChange(event.stage_changed(), now);
      break;
    case RunEvent::kStageReported:
      ApplyReport(event.stage_reported(), now);
      break;
    case RunEvent::kRunFinished:
      finished_ = event.run_finished();
      break;
    case RunEvent::kNote:
      notes_.push_back(event.note());
      break;
    case RunEvent::WHAT_NOT_SET:
      break;
  }
}

void RunModel::ApplyChange(const StageChanged& change, int64_t time_micros) {
  StageView* stage = FindMutable(change.stage());
  if (stage == nullptr) return;
  --counts_[stage->state];
  ++counts_[change.state()];
  stage->state = change.state();
  if (change.has_key()) stage->key = change.key();
  if (change.has_key_record()) stage->key_record = change.key_record();
  if (change.has_attempt()) stage->attempt = change.attempt();
  if (change.has_tool_digest()) stage->tool_digest = change.tool_digest();
  if (change.has_log_path()) stage->log_path = change.log_path();
  if (change.has_total_steps()) stage->total_steps = change.total_steps();
  if (change.has_resumed_from_step()) stage->resumed_from_step = change.resumed_from_step();
  if (change.has_error()) stage->error = change.error();
  if (change.log_tail_size() > 0) stage->log_tail.assign(change.log_tail().begin(), change.log_tail().end());

  if (change.state() == RUNNING) {
    if (stage->first_started_micros == 0) stage->first_started_micros = time_micros;
    stage->started_micros = time_micros;
    stage->progress.reset();
    stage->recent.clear();
  }
  if (stage->finished()) stage->finished_micros = time_micros;
  if (!change.has_entry()) return;
  stage->entry = change.entry();
  for (const Metric& metric : change.entry().metric()) stage->metrics[metric.name()] = metric.value();
  for (const Curve& curve : change.entry().curve()) stage->curves[curve.name()] = ViewOf(curve);
  if (change.entry().example_size() > 0) {
    stage->examples.assign(change.entry().example().begin(), change.entry().example().end());
  }
  if (change.entry().warning_size() > 0) {
    stage->warnings.assign(change.entry().warning().begin(), change.entry().warning().end());
  }
}

void RunModel::ApplyReport(const StageReported& report, int64_t time_micros) {
  StageView* stage = FindMutable(report.stage());
  if (stage == nullptr) return;
  if (report.has_segment()) {
    stage->last_checkpoint_step = std::max(stage->last_checkpoint_step, report.segment().last());
  }
  const StageEvent& event = report.event();
  switch (event.what_case()) {
    case StageEvent::kProgress:
      if (report.rank() != 0 && stage->progress) break;  // rank 0 speaks for its gang
      stage->progress = event.progress();
      stage->recent.push_back({time_micros, event.progress().done()});
      while (stage->recent.size() > 2 && stage->recent.front().time_micros < time_micros - kRecentMicros) {
        stage->recent.erase(stage->recent.begin());
      }
      break;
    case StageEvent::kMetric:
      if (event.metric().has_step()) {
        AddPoint(stage->curves[event.metric().name()], event.metric().step(), event.metric().value());
      } else {
        stage->metrics[event.metric().name()] = event.metric().value();
      }
      break;
    case StageEvent::kExample:
      if (stage->examples.size() < kMaxExamples) stage->examples.push_back(event.example());
      break;
    case StageEvent::kCheckpointPublished:
      stage->last_checkpoint_step = std::max(stage->last_checkpoint_step, event.checkpoint_published().step());
      break;
    case StageEvent::kWarning:
      if (stage->warnings.size() < kMaxWarnings) stage->warnings.push_back(event.warning());
      break;
    case StageEvent::WHAT_NOT_SET:
      break;
  }
}

void RunModel::AdoptTimes(absl::string_view stage_name, const RunModel& origin) {
  StageView* stage = FindMutable(stage_name);
  const StageView* from = origin.Find(stage_name);
  if (stage == nullptr || from == nullptr || from->key != stage->key) return;
  for (const auto& [name, value] : from->metrics) stage->metrics.emplace(name, value);
  for (const auto& [name, curve] : from->curves) stage->curves.emplace(name, curve);
  if (stage->tool_digest.empty()) stage->tool_digest = from->tool_digest;
}

const StageView* RunModel::Find(absl::string_view stage) const {
  for (const size_t near : {last_found_, last_found_ + 1}) {
    if (near >= stages_.size() || stages_[near].name() != stage) continue;
    last_found_ = near;
    return &stages_[near];
  }
  const auto found = index_.find(std::string(stage));
  if (found == index_.end()) return nullptr;
  last_found_ = found->second;
  return &stages_[found->second];
}

StageView* RunModel::FindMutable(absl::string_view stage) { return const_cast<StageView*>(Find(stage)); }

absl::string_view StateName(StageState state) {
  switch (state) {
    case WAITING:
      return "waiting";
    case READY:
      return "ready";
    case RUNNING:
      return "running";
    case CACHED:
      return "cached";
    case COMPLETE:
      return "done";
    case FAILED:
      return "failed";
    case GATE_FAILED:
      return "gate failed";
    case SKIPPED:
      return "skipped";
  }
  return "unknown";
}

}  // namespace millrace
