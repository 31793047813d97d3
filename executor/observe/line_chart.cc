// The SVG has a fixed view box and is stretched to the width of the page (preserveAspectRatio="none") with strokes that
// keep their width; tick labels are HTML, placed in percent, so that they are legible on a phone.
#include "executor/observe/line_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/quantity.h"
#include "executor/observe/html.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/series.h"

namespace millrace {
namespace {

constexpr double kWidth = 1000, kHeight = 300;
constexpr int kMaxSeries = 6;

struct Drawn {
  const ChartSeries* series;
  ReducedSeries reduced;
};

struct Axis {
  double least = 0, greatest = 1;
  std::vector<double> ticks;

  double At(double value) const { return (value - least) / (greatest - least); }
  double spacing() const { return ticks.size() > 1 ? ticks[1] - ticks[0] : 1; }
};

Axis YAxis(const std::vector<Drawn>& drawn, bool from_zero) {
  double least = INFINITY, greatest = -INFINITY;
  for (const Drawn& d : drawn) {
    for (const SeriesPoint& point : d.reduced.points) {
      least = std::min(least, point.least);
      greatest = std::max(greatest, point.greatest);
    }
  }
  if (from_zero) least = std::min(least, 0.0);
  Axis axis;
  axis.ticks = NiceTicks(least, greatest, 4);
  axis.least = axis.ticks.front();
  axis.greatest = axis.ticks.back();
  return axis;
}

Axis XAxis(const std::vector<Drawn>& drawn) {
  double least = INFINITY, greatest = -INFINITY;
  for (const Drawn& d : drawn) {
    least = std::min(least, d.reduced.points.front().step);
    greatest = std::max(greatest, d.reduced.points.back().step);
  }
  // From step 0 where the curve begins near it.
  if (least > 0 && least < greatest * 0.2) least = 0;
  Axis axis;
  axis.least = least;
  axis.greatest = greatest > least ? greatest : least + 1;
  for (double tick : NiceTicks(least, axis.greatest, 4)) {
    if (tick >= least && tick <= axis.greatest) axis.ticks.push_back(tick);
  }
  return axis;
}

void AppendPoint(std::string& path, char command, double x, double y) {
  absl::StrAppend(&path, std::string(1, command), SvgNumber(x), " ", SvgNumber(y));
}

void AppendSeries(const Drawn& drawn, int index, const Axis& x, const Axis& y, std::string& svg) {
  const auto at_x = [&](double step) { return x.At(step) * kWidth; };
  const auto at_y = [&](double value) { return (1 - y.At(value)) * kHeight; };
  const std::vector<SeriesPoint>& points = drawn.reduced.points;
  if (drawn.reduced.reduced) {
    std::string band;
    for (const SeriesPoint& point : points) {
      AppendPoint(band, band.empty() ? 'M' : 'L', at_x(point.step), at_y(point.greatest));
    }
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      AppendPoint(band, 'L', at_x(point->step), at_y(point->least));
    }
    absl::StrAppend(&svg, "<path class=\"band s", index + 1, "\" d=\"", band, "Z\"/>");
  }
  std::string line;
  for (const SeriesPoint& point : points) {
    AppendPoint(line, line.empty() ? 'M' : 'L', at_x(point.step), at_y(point.mean));
  }
  if (points.size() == 1) absl::StrAppend(&line, "h0.01");
  absl::StrAppend(&svg, "<path class=\"line s", index + 1, "\" d=\"", line, "\"/>");
}

// Not the last bucket's mean: the figures at the top of the report say the value itself.
double LastFinite(const CurveView& curve) {
  for (size_t i = curve.value.size(); i > 0; --i) {
    if (std::isfinite(curve.value[i - 1])) return curve.value[i - 1];
  }
  return 0;
}

// What the curve does, in a sentence: for whoever does not see it.
std::string Finding(const Drawn& drawn) {
  const std::vector<SeriesPoint>& points = drawn.reduced.points;
  const std::string& metric = drawn.series->metric;
  const auto least =
      std::min_element(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.least < b.least; });
  const auto greatest = std::max_element(points.begin(), points.end(),
                                         [](const auto& a, const auto& b) { return a.greatest < b.greatest; });
  const auto at = [](double step) { return FormatGrouped(std::llround(step)); };
  return absl::StrCat(drawn.series->label, ": ", FormatMetric(metric, points.front().mean), " at step ",
                      at(points.front().step), ", ", FormatMetric(metric, points.back().mean), " at step ",
                      at(points.back().step), "; least ", FormatMetric(metric, least->least), " near step ",
                      at(least->step), ", greatest ", FormatMetric(metric, greatest->greatest), " near step ",
                      at(greatest->step), ".");
}

// The curve's last value up to `step`, unless the previous row had it already.
std::string ValueAt(const ChartSeries& series, double step, double previous_step) {
  const CurveView& curve = *series.curve;
  const auto after = std::upper_bound(curve.step.begin(), curve.step.end(), static_cast<int64_t>(step));
  if (after == curve.step.begin() || *(after - 1) <= previous_step) return "";
  return EscapeHtml(FormatMetric(series.metric, curve.value[after - curve.step.begin() - 1]));
}

void AppendTable(const std::vector<Drawn>& drawn, std::string& html) {
  const std::vector<int64_t>& steps = drawn.front().series->curve->step;
  const int64_t rows = std::min<int64_t>(steps.size(), kChartTableRows);
  absl::StrAppend(&html, "<details><summary>The numbers",
                  rows < steps.size() ? absl::StrCat(" (", rows, " of ", FormatGrouped(steps.size()),
                                                     " points; the cache entry has all)")
                                      : "",
                  "</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\" class=\"n\">step</th>");
  for (const Drawn& d : drawn) {
    absl::StrAppend(&html, "<th scope=\"col\" class=\"n\">", EscapeHtml(d.series->label), "</th>");
  }
  absl::StrAppend(&html, "</tr></thead><tbody>");
  double previous = -1;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t index = rows == 1 ? 0 : row * (static_cast<int64_t>(steps.size()) - 1) / (rows - 1);
    absl::StrAppend(&html, "<tr><td class=\"n\">", FormatGrouped(steps[index]), "</td>");
    for (const Drawn& d : drawn) {
      absl::StrAppend(&html, "<td class=\"n\">", ValueAt(*d.series, steps[index], previous), "</td>");
    }
    absl::StrAppend(&html, "</tr>");
    previous = steps[index];
  }
  absl::StrAppend(&html, "</tbody></table></div></details>");
}

}  // namespace

std::string LineChart(const std::vector<ChartSeries>& series, const ChartOptions& options) {
  std::vector<Drawn> drawn;
  std::vector<std::string> left_out;
  for (const ChartSeries& one : series) {
    Drawn next{&one, Reduce(*one.curve, kChartBuckets)};
    if (next.reduced.points.empty()) continue;
    if (drawn.size() < kMaxSeries) {
      drawn.push_back(std::move(next));
    } else {
      left_out.push_back(one.label);
    }
  }
  if (drawn.empty()) return "";
  const Axis x = XAxis(drawn), y = YAxis(drawn, options.from_zero);

  std::vector<std::string> findings, notes;
  std::string html =
      absl::StrCat("<figure class=\"chart\"><figcaption><h3>", EscapeHtml(options.title),
                   options.unit.empty() ? "" : absl::StrCat(" <small>", EscapeHtml(options.unit), "</small>"),
                   "</h3><ul class=\"legend\">");
  bool reduced = false;
  for (size_t i = 0; i < drawn.size(); ++i) {
    const ReducedSeries& points = drawn[i].reduced;
    absl::StrAppend(&html, "<li><svg class=\"key\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path class=\"line s",
                    i + 1, "\" d=\"M0 4H24\"/></svg>",
                    // A curve alone is what the title says: its value is the one at the end.
                    drawn.size() == 1 ? "last" : EscapeHtml(drawn[i].series->label), " <b>",
                    EscapeHtml(FormatMetric(drawn[i].series->metric, LastFinite(*drawn[i].series->curve))),
                    "</b></li>");
    findings.push_back(Finding(drawn[i]));
    reduced = reduced || points.reduced;
    if (points.left_out > 0) {
      notes.push_back(absl::StrCat(points.left_out, " values of ", drawn[i].series->label, " are not finite numbers"));
    }
  }
  if (reduced) {
    notes.push_back(absl::StrCat("line: mean of up to ", kChartBuckets, " buckets of steps; band: least to greatest"));
  }
  if (!left_out.empty()) notes.push_back(absl::StrCat("not drawn: ", absl::StrJoin(left_out, ", ")));
  absl::StrAppend(&html, "</ul></figcaption><div class=\"plot\"><div class=\"y\" aria-hidden=\"true\">");
  std::string grid;
  for (double tick : y.ticks) {
    absl::StrAppend(&html, "<span style=\"bottom:", SvgNumber(y.At(tick) * 100), "%\">", TickLabel(tick, y.spacing()),
                    "</span>");
    absl::StrAppend(&grid, "M0 ", SvgNumber((1 - y.At(tick)) * kHeight), "H", SvgNumber(kWidth));
  }
  absl::StrAppend(&html, "</div><svg viewBox=\"0 0 ", kWidth, " ", kHeight,
                  "\" preserveAspectRatio=\"none\" role=\"img\" aria-labelledby=\"", options.id, "-t ", options.id,
                  "-d\"><title id=\"", options.id, "-t\">", EscapeHtml(options.title), " by step</title><desc id=\"",
                  options.id, "-d\">", EscapeHtml(absl::StrJoin(findings, " ")), "</desc><path class=\"grid\" d=\"",
                  grid, "\"/>");
  for (size_t i = 0; i < drawn.size(); ++i) AppendSeries(drawn[i], i, x, y, html);
  absl::StrAppend(&html, "</svg><div class=\"x\" aria-hidden=\"true\">");
  for (double tick : x.ticks) {
    const double at = x.At(tick) * 100;
    // The outer labels are kept inside.
    absl::StrAppend(&html, "<span",
                    at > 94  ? " class=\"end\""
                    : at < 6 ? " class=\"begin\""
                             : "",
                    " style=\"left:", SvgNumber(at), "%\">", TickLabel(tick, x.spacing()), "</span>");
  }
  absl::StrAppend(&html, "</div></div>");
  if (!notes.empty()) {
    absl::StrAppend(&html, "<p class=\"note\">", EscapeHtml(absl::StrJoin(notes, "; ")), ".</p>");
  }
  AppendTable(drawn, html);
  absl::StrAppend(&html, "</figure>");
  return html;
}

}  // namespace millrace
