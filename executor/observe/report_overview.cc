#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/quantity.h"
#include "executor/observe/html.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/report_sections.h"

namespace millrace {
namespace {

struct Figure {
  std::string label, value, note;
};

// By how much the model needs fewer bits than gzip, in words.
std::string AgainstGzip(double model, double gzip, absl::string_view how) {
  return absl::StrFormat("%.0f %% %s than gzip -9 %s (%.2f)", std::abs(1 - model / gzip) * 100,
                         model <= gzip ? "fewer" : "more", how, gzip);
}

void AddEvaluationFigures(const RunModel& model, std::vector<Figure>& figures) {
  for (const StageView& stage : model.stages()) {
    if (stage.info.kind() != "evaluate") continue;
    const BitsPerByte bits = BitsPerByteOf(stage);
    if (!bits.model) continue;
    Figure figure{"bits per byte, held out", absl::StrFormat("%.3f", *bits.model), ""};
    if (bits.gzip_concatenated) {
      figure.note = AgainstGzip(*bits.model, *bits.gzip_concatenated, "of all of it");
    } else if (bits.gzip_per_document) {
      figure.note = AgainstGzip(*bits.model, *bits.gzip_per_document, "per document");
    }
    figures.push_back(std::move(figure));
    return;
  }
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

void AddTrainingFigures(const RunModel& model, std::vector<Figure>& figures) {
  for (const StageView& stage : model.stages()) {
    if (stage.info.kind() != "train") continue;
    const auto loss = stage.curves.find("loss");
    if (loss != stage.curves.end() && !loss->second.step.empty()) {
      figures.push_back({"training loss at the end", absl::StrFormat("%.3f", loss->second.value.back()),
                         absl::StrCat("from ", absl::StrFormat("%.2f", loss->second.value.front()), ", ",
                                      FormatGrouped(loss->second.step.back()), " steps")});
    }
    const auto speed = stage.curves.find("time.tokens_per_second");
    if (speed != stage.curves.end() && !speed->second.value.empty()) {
      figures.push_back({"tokens per second", FormatGrouped(std::llround(Median(speed->second.value))), "median"});
    }
    return;
  }
}

}  // namespace

std::string Section(const std::string& id, const std::string& title, const std::string& body) {
  if (body.empty()) return "";
  return absl::StrCat("<section id=\"", id, "\" aria-labelledby=\"", id, "-h\"><h2 id=\"", id, "-h\">", title, "</h2>",
                      body, "</section>\n");
}

std::string StateBadge(StageState state) {
  absl::string_view style = "soft";
  if (state == COMPLETE) style = "good";
  if (state == CACHED) style = "cached";
  if (state == FAILED || state == GATE_FAILED) style = "bad";
  if (state == SKIPPED || state == RUNNING) style = "warn";
  return absl::StrCat("<span class=\"badge ", style, "\">", StateName(state), "</span>");
}

std::string MetricCell(const std::string& name, const absl::optional<double>& value) {
  return value ? EscapeHtml(FormatMetric(name, *value)) : "<span class=\"soft\">–</span>";
}

bool IsSample(const Example& example) { return absl::StartsWith(example.group(), "sample"); }

std::string OverviewSection(const RunModel& model, const std::vector<std::pair<std::string, std::string>>& facts) {
  std::vector<Figure> figures;
  AddEvaluationFigures(model, figures);
  AddTrainingFigures(model, figures);

  const int cached = model.Count(CACHED);
  const int ran = model.Count(COMPLETE) + model.Count(GATE_FAILED) + model.Count(FAILED);
  std::vector<std::string> rest;
  if (cached > 0) rest.push_back(absl::StrCat(cached, " cached"));
  if (model.Count(FAILED) > 0) rest.push_back(absl::StrCat(model.Count(FAILED), " failed"));
  if (model.Count(GATE_FAILED) > 0)
    rest.push_back(absl::StrCat(model.Count(GATE_FAILED), " with a gate that does not hold"));
  const int not_run = model.Count(SKIPPED) + model.Count(WAITING) + model.Count(READY) + model.Count(RUNNING);
  if (not_run > 0) rest.push_back(absl::StrCat(not_run, " not finished"));
  figures.push_back({"stages that ran", absl::StrCat(ran, " of ", model.stages().size()), absl::StrJoin(rest, ", ")});

  const double seconds =
      model.finished() ? model.finished()->duration_seconds() : (model.last_micros() - model.start_micros()) * 1e-6;
  std::string saved;
  if (model.finished() && model.finished()->saved_seconds() > 0) {
    saved = absl::StrCat("the cache saved ", FormatSeconds(model.finished()->saved_seconds()));
  }
  figures.push_back({model.finished() ? "duration" : "duration so far", FormatSeconds(seconds), saved});
  for (const auto& [label, value] : facts) figures.push_back({label, value, ""});

  std::string html = "<dl class=\"figures\">";
  for (const Figure& figure : figures) {
    absl::StrAppend(&html, "<div><dt>", EscapeHtml(figure.label), "</dt><dd>", EscapeHtml(figure.value),
                    figure.note.empty() ? "" : absl::StrCat("<small>", EscapeHtml(figure.note), "</small>"),
                    "</dd></div>");
  }
  absl::StrAppend(&html, "</dl>\n");
  return html;
}

std::string FailureSection(const RunModel& model, const ReportLimits& limits) {
  std::string body;
  int shown = 0, failed = 0;
  for (const StageView& stage : model.stages()) {
    if (stage.state != FAILED && stage.state != GATE_FAILED) continue;
    ++failed;
    if (shown == 20) continue;
    ++shown;
    const std::string& message = stage.error.empty() && stage.entry ? stage.entry->gate_message() : stage.error;
    absl::StrAppend(&body, "<div class=\"sub\"><h3>", EscapeHtml(stage.name()), " <small>", StateBadge(stage.state),
                    stage.attempt > 1 ? absl::StrCat(", attempt ", stage.attempt) : "", "</small></h3><p>",
                    EscapeHtmlCut(message, 4000), "</p>");
    if (!stage.log_tail.empty()) {
      absl::StrAppend(&body, "<pre>", EscapeHtmlCut(absl::StrJoin(stage.log_tail, "\n"), 8000), "</pre>");
    }
    if (!stage.log_path.empty()) {
      absl::StrAppend(&body, "<p class=\"note\">log: <code>", EscapeHtml(stage.log_path),
                      "</code> in the run's folder</p>");
    }
    absl::StrAppend(&body, "</div>");
  }
  if (failed > shown) absl::StrAppend(&body, "<p class=\"note\">", failed - shown, " more failed.</p>");
  return Section("failures", "What failed", body);
}

}  // namespace millrace
