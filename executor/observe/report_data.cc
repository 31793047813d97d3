#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/quantity.h"
#include "executor/observe/html.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/report_sections.h"

namespace millrace {
namespace {

constexpr int kMaxStages = 40;
constexpr int kMaxMetrics = 60;
constexpr int kMaxSourceRows = 60;

bool IsDataKind(const std::string& kind) {
  for (const char* data :
       {"corpus", "filter", "dedup", "split", "tokenizer", "train_tokenizer", "tokenize", "pack", "mix", "custom"}) {
    if (kind == data) return true;
  }
  return false;
}

// "documents_dropped.size": one reason of several, drawn as bars.
bool IsDropReason(absl::string_view name) {
  std::string base;
  int ordinal;
  const bool reason = absl::StrContains(name, "dropped.") || name == "exact_duplicates" || name == "near_duplicates";
  return reason && !SplitSourceMetric(name, base, ordinal);
}

std::string Reasons(const StageView& stage) {
  std::vector<std::pair<std::string, double>> reasons;
  double greatest = 0;
  for (const auto& [name, value] : stage.metrics) {
    if (!IsDropReason(name)) continue;
    const size_t dropped = name.find("dropped.");
    reasons.emplace_back(dropped == std::string::npos ? name : name.substr(dropped + 8), value);
    greatest = std::max(greatest, value);
  }
  if (reasons.empty() || greatest <= 0) return "";
  std::stable_sort(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string html = "<div class=\"bars\">";
  for (size_t i = 0; i < reasons.size() && i < 20; ++i) {
    absl::StrAppend(
        &html, "<b>", EscapeHtml(absl::StrReplaceAll(reasons[i].first, {{"_", " "}})),
        "</b><div><div class=\"bar\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" "
        "aria-hidden=\"true\"><rect class=\"track\" width=\"100\" height=\"10\"/><rect class=\"f1\" width=\"",
        SvgNumber(reasons[i].second / greatest * 100), "\" height=\"10\"/></svg><span><b>",
        FormatGrouped(std::llround(reasons[i].second)), "</b> dropped</span></div></div>");
  }
  absl::StrAppend(&html, "</div>");
  if (reasons.size() > 20) absl::StrAppend(&html, "<p class=\"note\">", reasons.size() - 20, " more reasons.</p>");
  return html;
}

std::string Metrics(const StageView& stage) {
  std::string rows;
  int shown = 0;
  for (const auto& [name, value] : stage.metrics) {
    std::string base;
    int ordinal;
    if (SplitSourceMetric(name, base, ordinal) || IsDropReason(name)) continue;
    if (++shown > kMaxMetrics) continue;
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", EscapeHtml(MetricLabel(name)), "</th><td class=\"n\">",
                    EscapeHtml(FormatMetric(name, value)), "</td></tr>");
  }
  if (rows.empty()) return "";
  return absl::StrCat("<table><tbody>", rows, "</tbody></table>",
                      shown > kMaxMetrics
                          ? absl::StrCat("<p class=\"note\">", shown - kMaxMetrics, " more are in the cache entry.</p>")
                          : "");
}

std::string BySource(const StageView& stage) {
  const SourceTable table = SourceTableOf(stage);
  if (table.row.empty() || table.column.empty()) return "";
  std::string html =
      "<div class=\"scroll\"><table><caption>By source</caption><thead><tr><th scope=\"col\">source</th>";
  for (const std::string& column : table.column) {
    absl::StrAppend(&html, "<th scope=\"col\" class=\"n\">", EscapeHtml(MetricLabel(column)), "</th>");
  }
  absl::StrAppend(&html, "</tr></thead><tbody>");
  int rows = 0;
  for (const SourceTable::Row& row : table.row) {
    if (++rows > kMaxSourceRows && !row.source.empty()) continue;
    absl::StrAppend(&html, row.source.empty() ? "<tr class=\"all\">" : "<tr>", "<th scope=\"row\">",
                    row.source.empty() ? "all" : EscapeHtml(row.source), "</th>");
    for (size_t i = 0; i < table.column.size(); ++i) {
      absl::StrAppend(&html, "<td class=\"n\">", MetricCell(table.column[i], row.value[i]), "</td>");
    }
    absl::StrAppend(&html, "</tr>");
  }
  absl::StrAppend(&html, "</tbody></table></div>");
  if (table.row.size() > kMaxSourceRows) {
    absl::StrAppend(&html, "<p class=\"note\">", table.row.size() - kMaxSourceRows, " more sources.</p>");
  }
  return html;
}

std::string Examples(const StageView& stage, const ReportLimits& limits) {
  std::map<std::string, std::vector<const Example*>> groups;
  for (const Example& example : stage.examples) {
    if (!IsSample(example)) groups[example.group()].push_back(&example);
  }
  std::string html;
  int shown_groups = 0;
  for (const auto& [group, examples] : groups) {
    if (++shown_groups > 30) break;
    const size_t shown = std::min<size_t>(examples.size(), limits.examples_per_group);
    absl::StrAppend(&html, "<details><summary><b>", EscapeHtml(group.empty() ? "examples" : group), "</b>: ", shown,
                    shown == 1 ? " example" : " examples",
                    shown < examples.size() ? absl::StrCat(" of ", examples.size(), " recorded") : "", "</summary>");
    for (size_t i = 0; i < shown; ++i) {
      absl::StrAppend(&html, "<blockquote><header>", EscapeHtmlCut(examples[i]->title(), 300), "</header><p>",
                      EscapeHtmlCut(examples[i]->text(), limits.example_characters), "</p></blockquote>");
    }
    absl::StrAppend(&html, "</details>");
  }
  if (groups.size() > 30) absl::StrAppend(&html, "<p class=\"note\">", groups.size() - 30, " more groups.</p>");
  return html;
}

}  // namespace

std::string DataSection(const RunModel& model, const ReportLimits& limits) {
  std::string body;
  int shown = 0, all = 0;
  for (const StageView& stage : model.stages()) {
    if (!IsDataKind(stage.info.kind()) || (stage.metrics.empty() && stage.examples.empty())) continue;
    if (++all > kMaxStages) continue;
    ++shown;
    const std::string metrics = Metrics(stage), by_source = BySource(stage), reasons = Reasons(stage);
    absl::StrAppend(&body, "<div class=\"sub\"><h3>", EscapeHtml(stage.name()), " <small>",
                    EscapeHtml(stage.info.kind()), "</small></h3>");
    const std::string headline = StageHeadline(stage);
    if (!headline.empty()) absl::StrAppend(&body, "<p>", EscapeHtml(headline), ".</p>");
    absl::StrAppend(&body, reasons);
    if (!by_source.empty()) absl::StrAppend(&body, by_source);
    if (!metrics.empty()) {
      absl::StrAppend(&body, "<details><summary>All figures</summary>", metrics, "</details>");
    }
    absl::StrAppend(&body, Examples(stage, limits), "</div>");
  }
  if (all > shown) absl::StrAppend(&body, "<p class=\"note\">", all - shown, " more data stages are not shown.</p>");
  return Section("data", "The data", body);
}

}  // namespace millrace
