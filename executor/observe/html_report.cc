#include "executor/observe/html_report.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "executor/observe/html.h"
#include "executor/observe/report_style.h"

namespace millrace {
namespace {

std::string Outcome(const RunModel& model) {
  if (!model.finished()) return "<span class=\"badge warn\">not finished</span>";
  switch (model.finished()->exit_status()) {
    case 0:
      return "<span class=\"badge good\">complete</span>";
    case 4:
      return "<span class=\"badge bad\">a gate does not hold</span>";
    case 130:
      return "<span class=\"badge warn\">interrupted</span>";
    default:
      return "<span class=\"badge bad\">failed</span>";
  }
}

}  // namespace

std::string HtmlReport(const RunModel& model, const ReportOptions& options) {
  const RunStarted& started = model.started();
  const ReportLimits& limits = options.limits;
  const std::vector<std::pair<std::string, std::string>> sections = {
      {"What failed", FailureSection(model, limits)},
      {"Held-out text", EvaluationSection(model, limits)},
      {"Training", TrainingSection(model)},
      {"Samples", SamplesSection(model, limits)},
      {"Time per stage", StagesSection(model, limits)},
      {"The graph", GraphSection(model, limits)},
      {"The data", DataSection(model, limits)},
      {"Provenance", ProvenanceSection(model, limits)},
  };
  std::string nav, content;
  for (const auto& [title, html] : sections) {
    if (html.empty()) continue;
    const size_t begin = html.find("id=\"") + 4;
    absl::StrAppend(&nav, "<a href=\"#", html.substr(begin, html.find('"', begin) - begin), "\">", title, "</a>");
    absl::StrAppend(&content, html);
  }
  const std::string name = EscapeHtml(started.pipeline().empty() ? "a run" : started.pipeline());
  const std::string when =
      absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromUnixMicros(model.start_micros()), absl::UTCTimeZone());
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<meta name=\"color-scheme\" content=\"light dark\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
      "<title>",
      name, started.profile().empty() ? "" : absl::StrCat(", ", EscapeHtml(started.profile())),
      ": Millrace report</title>", "<style>", kReportStyle, "</style></head><body>\n<header class=\"top\"><h1>", name,
      "</h1><p class=\"lead\">",
      started.profile().empty() ? "" : absl::StrCat("profile ", EscapeHtml(started.profile()), " · "), Outcome(model),
      " · ", when, started.machine().host().empty() ? "" : absl::StrCat(" · on ", EscapeHtml(started.machine().host())),
      "</p>", OverviewSection(model, options.facts), "<nav aria-label=\"Sections\">", nav, "</nav></header>\n<main>\n",
      content, "</main>\n<footer><p>Run ", EscapeHtml(started.run_id()),
      started.millrace_version().empty() ? "" : absl::StrCat(", Millrace ", EscapeHtml(started.millrace_version())),
      ". One file, no script, nothing loaded from anywhere.</p></footer></body></html>\n");
}

}  // namespace millrace
