// A curve with fewer points that looks the same: buckets of steps with their least, greatest and mean value, so that a
// spike of one step is still there.
#ifndef MILLRACE_EXECUTOR_OBSERVE_SERIES_H_
#define MILLRACE_EXECUTOR_OBSERVE_SERIES_H_

#include <cstdint>
#include <vector>

#include "executor/observe/run_model.h"

namespace millrace {

struct SeriesPoint {
  double step = 0;  // mean of the bucket's steps
  double least = 0, greatest = 0, mean = 0;
};

struct ReducedSeries {
  std::vector<SeriesPoint> points;
  int64_t original_points = 0;  // finite ones
  int64_t left_out = 0;         // not finite
  bool reduced = false;         // a point stands for several
};

// At most `max_points` buckets of equal width in steps; a curve with no more points than that is kept as it is. Values
// that are not finite are left out and counted.
ReducedSeries Reduce(const CurveView& curve, int max_points);

// Round numbers that cover [least, greatest], about `count` of them, ascending.
std::vector<double> NiceTicks(double least, double greatest, int count);
// A tick's label: "4e-03", "0.25", "16 k".
std::string TickLabel(double value, double spacing);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_SERIES_H_
