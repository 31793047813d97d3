// A chart of curves over steps as a piece of HTML: an SVG that stretches with the page, labels that do not, and the
// numbers in a table. No script.
#ifndef MILLRACE_EXECUTOR_OBSERVE_LINE_CHART_H_
#define MILLRACE_EXECUTOR_OBSERVE_LINE_CHART_H_

#include <string>
#include <vector>

#include "executor/observe/run_model.h"

namespace millrace {

// At most this many buckets of a curve are drawn; each has a least, a greatest and a mean value, so that a series has
// fewer than 2 000 points.
inline constexpr int kChartBuckets = 640;
inline constexpr int kChartTableRows = 40;

struct ChartSeries {
  std::string label;
  std::string metric;  // its name, for the format of values
  const CurveView* curve = nullptr;
};

struct ChartOptions {
  std::string id;     // unique in the page, a good HTML id
  std::string title;  // "Loss"
  std::string unit;   // "nats per token"; may be empty
  bool from_zero = false;
};

// At most six series are drawn; the rest is named. Empty when no series has a point.
std::string LineChart(const std::vector<ChartSeries>& series, const ChartOptions& options);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_LINE_CHART_H_
