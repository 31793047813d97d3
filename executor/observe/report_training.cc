#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "executor/observe/html.h"
#include "executor/observe/line_chart.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/report_sections.h"

namespace millrace {
namespace {

constexpr int kMaxOtherCharts = 6;

class Charts {
 public:
  Charts(const StageView& stage, int index) : stage_(stage), index_(index) {}

  // One chart of all curves that `takes` accepts and that no chart has yet.
  template <typename Predicate>
  std::string Chart(const std::string& title, const std::string& unit, bool from_zero, const Predicate& takes) {
    std::vector<ChartSeries> series;
    for (const auto& [name, curve] : stage_.curves) {
      if (used_.count(name) > 0 || curve.step.empty() || !takes(name)) continue;
      used_.insert(name);
      series.push_back({MetricLabel(name), name, &curve});
    }
    // The training curve first.
    std::stable_sort(series.begin(), series.end(),
                     [](const auto& a, const auto& b) { return a.label.size() < b.label.size(); });
    return LineChart(series, {absl::StrCat("train", index_, "-", ++charts_), title, unit, from_zero});
  }

  std::vector<std::string> Rest() const {
    std::vector<std::string> names;
    for (const auto& [name, curve] : stage_.curves) {
      if (used_.count(name) == 0 && !curve.step.empty()) names.push_back(name);
    }
    return names;
  }

 private:
  const StageView& stage_;
  const int index_;
  int charts_ = 0;
  std::set<std::string> used_;
};

std::string Capitalized(std::string text) {
  if (!text.empty()) text[0] = absl::ascii_toupper(text[0]);
  return text;
}

}  // namespace

std::string TrainingSection(const RunModel& model) {
  std::string body;
  int index = 0;
  for (const StageView& stage : model.stages()) {
    if (stage.curves.empty()) continue;
    if (++index > 12) break;
    Charts charts(stage, index);
    absl::StrAppend(&body, "<div class=\"sub\"><h3>", EscapeHtml(stage.name()), " <small>", StateBadge(stage.state));
    if (stage.info.ranks() > 1) absl::StrAppend(&body, ", ", stage.info.ranks(), " processes");
    if (stage.resumed_from_step > 0) {
      absl::StrAppend(&body, ", went on from step ", FormatGrouped(stage.resumed_from_step));
    }
    absl::StrAppend(&body, "</small></h3>");
    absl::StrAppend(&body, charts.Chart("Loss", "nats per token", false,
                                        [](const std::string& name) { return absl::StrContains(name, "loss"); }));
    absl::StrAppend(&body, "<div class=\"two\">");
    absl::StrAppend(&body, charts.Chart("Learning rate", "", true, [](const std::string& name) {
      return absl::StrContains(name, "learning_rate");
    }));
    absl::StrAppend(&body, charts.Chart("Speed", "tokens per second", true, [](const std::string& name) {
      return absl::StrContains(name, "tokens_per_second");
    }));
    int others = 0;
    for (const std::string& name : charts.Rest()) {
      if (++others > kMaxOtherCharts) break;
      absl::StrAppend(&body, charts.Chart(Capitalized(MetricLabel(name)), "", true,
                                          [&](const std::string& n) { return n == name; }));
    }
    absl::StrAppend(&body, "</div>");
    const std::vector<std::string> rest = charts.Rest();
    if (!rest.empty())
      absl::StrAppend(&body, "<p class=\"note\">", rest.size(), " more curves are in the cache entry.</p>");
    if (stage.state == CACHED && stage.curves.count("time.tokens_per_second") == 0) {
      absl::StrAppend(&body, "<p class=\"note\">Its speed is in the log of the run that trained it.</p>");
    }
    absl::StrAppend(&body, "</div>");
  }
  return Section("training", "Training", body);
}

}  // namespace millrace
