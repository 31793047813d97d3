#include "executor/engine/event_collector.h"

#include "absl/strings/match.h"

namespace millrace {
namespace {

constexpr int kMaxExamples = 200;
constexpr int kMaxExamplesOfGroup = 20;
constexpr int kMaxWarnings = 50;

}  // namespace

void EventCollector::Add(const StageEvent& event) {
  switch (event.what_case()) {
    case StageEvent::kMetric: {
      const Metric& metric = event.metric();
      if (absl::StartsWith(metric.name(), "time.")) return;
      if (metric.has_step()) {
        curves_[metric.name()][metric.step()] = metric.value();
        return;
      }
      const auto [found, is_new] = metric_index_.try_emplace(metric.name(), kept_.metric_size());
      *(is_new ? kept_.add_metric() : kept_.mutable_metric(found->second)) = metric;
      return;
    }
    case StageEvent::kExample:
      if (kept_.example_size() < kMaxExamples && examples_of_group_[event.example().group()]++ < kMaxExamplesOfGroup)
        *kept_.add_example() = event.example();
      return;
    case StageEvent::kWarning:
      if (kept_.warning_size() < kMaxWarnings && warnings_.insert(event.warning()).second)
        kept_.add_warning(event.warning());
      return;
    default:
      return;
  }
}

void EventCollector::AddCurves(const CurveList& curves) {
  for (const Curve& curve : curves) {
    for (int i = 0; i < std::min(curve.step_size(), curve.value_size()); ++i)
      curves_[curve.name()][curve.step(i)] = curve.value(i);
  }
}

CurveList EventCollector::CurvesBetween(int64_t first, int64_t last) const {
  CurveList list;
  for (const auto& [name, points] : curves_) {
    Curve curve;
    for (auto point = points.upper_bound(first); point != points.end() && point->first <= last; ++point) {
      curve.add_step(point->first);
      curve.add_value(point->second);
    }
    if (curve.step_size() == 0) continue;
    curve.set_name(name);
    *list.Add() = std::move(curve);
  }
  return list;
}

void EventCollector::Fill(ActionEntry& entry) const {
  *entry.mutable_metric() = kept_.metric();
  *entry.mutable_example() = kept_.example();
  *entry.mutable_warning() = kept_.warning();
  *entry.mutable_curve() = CurvesBetween(INT64_MIN, INT64_MAX);
}

}  // namespace millrace
