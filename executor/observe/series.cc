#include "executor/observe/series.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/quantity.h"

namespace millrace {

ReducedSeries Reduce(const CurveView& curve, int max_points) {
  ReducedSeries series;
  std::vector<SeriesPoint> all;
  for (size_t i = 0; i < curve.step.size(); ++i) {
    if (!std::isfinite(curve.value[i])) {
      ++series.left_out;
      continue;
    }
    const double value = curve.value[i];
    all.push_back({static_cast<double>(curve.step[i]), value, value, value});
  }
  series.original_points = all.size();
  if (all.size() <= max_points) {
    series.points = std::move(all);
    return series;
  }
  series.reduced = true;
  const double first = all.front().step;
  const double width = (all.back().step - first) / max_points;
  for (size_t begin = 0; begin < all.size();) {
    const int64_t bucket = std::min<int64_t>(max_points - 1, (all[begin].step - first) / width);
    SeriesPoint point = all[begin];
    double steps = 0, values = 0;
    size_t end = begin;
    for (; end < all.size(); ++end) {
      if (std::min<int64_t>(max_points - 1, (all[end].step - first) / width) != bucket) break;
      point.least = std::min(point.least, all[end].mean);
      point.greatest = std::max(point.greatest, all[end].mean);
      steps += all[end].step;
      values += all[end].mean;
    }
    point.step = steps / (end - begin);
    point.mean = values / (end - begin);
    series.points.push_back(point);
    begin = end;
  }
  return series;
}

std::vector<double> NiceTicks(double least, double greatest, int count) {
  if (!(greatest > least)) {
    const double margin = least == 0 ? 1 : std::abs(least) * 0.1;
    least -= margin;
    greatest += margin;
  }
  const double raw = (greatest - least) / std::max(1, count);
  const double magnitude = std::pow(10, std::floor(std::log10(raw)));
  double spacing = 10 * magnitude;
  for (double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (raw <= factor * magnitude * (1 + 1e-9)) {
      spacing = factor * magnitude;
      break;
    }
  }
  std::vector<double> ticks;
  const double begin = std::floor(least / spacing + 1e-9);
  const double end = std::ceil(greatest / spacing - 1e-9);
  for (double i = begin; i <= end; ++i) ticks.push_back(i * spacing);
  return ticks;
}

std::string TickLabel(double value, double spacing) {
  const double magnitude = std::max(std::abs(value), spacing);
  if (value == 0) return "0";
  if (magnitude >= 10000) return FormatCount(value);
  if (magnitude < 1e-3) return absl::StrFormat("%.1e", value);
  if (spacing >= 1 && spacing == std::floor(spacing)) return FormatGrouped(std::llround(value));
  int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(spacing) - 1e-9)));
  const double scaled = spacing * std::pow(10, digits);
  if (std::abs(scaled - std::round(scaled)) > 1e-6) ++digits;  // a spacing of 2.5 units needs one more
  return absl::StrFormat("%.*f", digits, value);
}

}  // namespace millrace
