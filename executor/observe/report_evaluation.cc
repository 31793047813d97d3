#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "executor/observe/html.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/report_sections.h"

namespace millrace {
namespace {

struct Row {
  std::string source;  // "" : all
  BitsPerByte bits;
};

std::vector<Row> RowsOf(const StageView& stage) {
  std::vector<Row> rows;
  // Ordinals that have a metric; names where the run knows them.
  int ordinals = stage.info.source_size();
  for (const auto& [name, value] : stage.metrics) {
    std::string base;
    int ordinal;
    if (SplitSourceMetric(name, base, ordinal)) ordinals = std::max(ordinals, ordinal + 1);
  }
  for (int ordinal = 0; ordinal < std::min(ordinals, 500); ++ordinal) {
    const BitsPerByte bits = BitsPerByteOf(stage, ordinal);
    if (!bits.model) continue;
    rows.push_back(
        {ordinal < stage.info.source_size() ? stage.info.source(ordinal) : absl::StrCat("source ", ordinal), bits});
  }
  const BitsPerByte all = BitsPerByteOf(stage);
  if (all.model) rows.push_back({"", all});
  return rows;
}

void AppendBar(std::string& html, const char* fill, const absl::optional<double>& value, double greatest,
               const std::string& label) {
  if (!value) return;
  absl::StrAppend(&html,
                  "<div class=\"bar\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
                  "<rect class=\"track\" width=\"100\" height=\"10\"/><rect class=\"",
                  fill, "\" width=\"", SvgNumber(*value / greatest * 100), "\" height=\"10\"/></svg><span><b>",
                  absl::StrFormat("%.3f", *value), "</b> ", label, "</span></div>");
}

std::string Difference(const absl::optional<double>& model, const absl::optional<double>& gzip) {
  if (!model || !gzip || *gzip <= 0) return "<span class=\"soft\">–</span>";
  const double change = (*model / *gzip - 1) * 100;
  // The sign, not only the color, says which is better.
  return absl::StrFormat("<span class=\"%s\">%s%.1f %%</span>", change <= 0 ? "better" : "worse",
                         change <= 0 ? "−" : "+", std::abs(change));
}

std::string BitsPart(const StageView& stage) {
  const std::vector<Row> rows = RowsOf(stage);
  if (rows.empty()) return "";
  double greatest = 0;
  bool gzip = false;
  for (const Row& row : rows) {
    for (const auto& value : {row.bits.model, row.bits.gzip_per_document, row.bits.gzip_concatenated}) {
      greatest = std::max(greatest, value.value_or(0));
    }
    gzip = gzip || row.bits.gzip_per_document || row.bits.gzip_concatenated;
  }
  if (greatest <= 0) return "";
  std::string html =
      "<p>Bits that each byte of held-out text costs; fewer is better. Bytes are those of the original "
      "documents.";
  if (gzip) {
    absl::StrAppend(&html,
                    " The same bytes through <code>gzip -9</code>: each document alone, and all documents of a "
                    "source as one.");
  }
  absl::StrAppend(&html, "</p><div class=\"bars\">");
  for (const Row& row : rows) {
    const char* all = row.source.empty() ? " class=\"all\"" : "";
    absl::StrAppend(&html, "<b", all, ">", row.source.empty() ? "all sources" : EscapeHtml(row.source), "</b><div", all,
                    ">");
    AppendBar(html, "f1", row.bits.model, greatest, "model");
    AppendBar(html, "f2", row.bits.gzip_concatenated, greatest, "gzip, concatenated");
    AppendBar(html, "f6", row.bits.gzip_per_document, greatest, "gzip, per document");
    absl::StrAppend(&html, "</div>");
  }
  absl::StrAppend(&html, "</div>");
  if (!gzip) return html;
  absl::StrAppend(&html,
                  "<div class=\"scroll\"><table><caption>Bits per byte, and the model against gzip</caption><thead><tr>"
                  "<th scope=\"col\">source</th><th scope=\"col\" class=\"n\">model</th>"
                  "<th scope=\"col\" class=\"n optional\">gzip -9<br>per document</th>"
                  "<th scope=\"col\" class=\"n optional\">difference</th>"
                  "<th scope=\"col\" class=\"n\">gzip -9<br>concatenated</th>"
                  "<th scope=\"col\" class=\"n\">difference</th></tr></thead><tbody>");
  for (const Row& row : rows) {
    absl::StrAppend(&html, "<tr", row.source.empty() ? " class=\"all\"" : "", "><th scope=\"row\">",
                    row.source.empty() ? "all" : EscapeHtml(row.source), "</th><td class=\"n\">",
                    MetricCell("bits_per_byte", row.bits.model), "</td><td class=\"n optional\">",
                    MetricCell("bits_per_byte", row.bits.gzip_per_document), "</td><td class=\"n optional\">",
                    Difference(row.bits.model, row.bits.gzip_per_document), "</td><td class=\"n\">",
                    MetricCell("bits_per_byte", row.bits.gzip_concatenated), "</td><td class=\"n\">",
                    Difference(row.bits.model, row.bits.gzip_concatenated), "</td></tr>");
  }
  absl::StrAppend(&html, "</tbody></table></div>");
  return html;
}

// What is not in the table above.
std::string OtherMetrics(const StageView& stage) {
  std::string rows;
  for (const auto& [name, value] : stage.metrics) {
    std::string base;
    int ordinal;
    if (SplitSourceMetric(name, base, ordinal)) continue;
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", EscapeHtml(MetricLabel(name)), "</th><td class=\"n\">",
                    EscapeHtml(FormatMetric(name, value)), "</td></tr>");
  }
  if (rows.empty()) return "";
  return absl::StrCat("<details><summary>All figures of ", EscapeHtml(stage.name()),
                      "</summary><div class=\"scroll\"><table><tbody>", rows, "</tbody></table></div></details>");
}

// A model that has learned little may write one line over and over: what stands more than twice in a row is counted,
// and after sixteen lines it is enough.
std::string WithoutRepeats(absl::string_view text) {
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  std::string result;
  int shown = 0;
  for (size_t i = 0; i < lines.size();) {
    if (++shown > 16) {
      absl::StrAppend(&result, "\n⋯ (", lines.size() - i, " more lines)");
      break;
    }
    const absl::string_view line = absl::StripTrailingAsciiWhitespace(lines[i]);
    size_t end = i + 1;
    while (end < lines.size() && absl::StripTrailingAsciiWhitespace(lines[end]) == line) ++end;
    absl::StrAppend(&result, i > 0 ? "\n" : "", line);
    if (end - i == 2) absl::StrAppend(&result, "\n", line);
    if (end - i > 2)
      absl::StrAppend(&result, line.empty() ? "" : "\n", "⋯ (", end - i, line.empty() ? " empty lines)" : " times)");
    i = end;
  }
  return result;
}

}  // namespace

std::string EvaluationSection(const RunModel& model, const ReportLimits& limits) {
  std::string body;
  for (const StageView& stage : model.stages()) {
    if (stage.info.kind() != "evaluate" || stage.metrics.empty()) continue;
    absl::StrAppend(&body, "<div class=\"sub\"><h3>", EscapeHtml(stage.name()), " <small>", StateBadge(stage.state),
                    "</small></h3>");
    if (stage.entry && !stage.entry->gate_message().empty()) {
      absl::StrAppend(&body, "<p>", EscapeHtmlCut(stage.entry->gate_message(), 2000), "</p>");
    }
    absl::StrAppend(&body, BitsPart(stage), OtherMetrics(stage), "</div>");
  }
  return Section("evaluation", "Held-out text", body);
}

std::string SamplesSection(const RunModel& model, const ReportLimits& limits) {
  std::string body;
  int shown = 0, all = 0;
  for (const StageView& stage : model.stages()) {
    for (const Example& example : stage.examples) {
      if (!IsSample(example)) continue;
      if (++all > limits.samples) continue;
      ++shown;
      const std::string without_repeats = WithoutRepeats(example.text());
      absl::string_view text = without_repeats;
      const absl::string_view prompt = example.title();
      std::string shown_text;
      if (!prompt.empty() && absl::StartsWith(text, prompt)) {
        shown_text = absl::StrCat("<mark>", EscapeHtml(prompt), "</mark>");
        text.remove_prefix(prompt.size());
        absl::StrAppend(&shown_text, EscapeHtmlCut(text, limits.example_characters));
      } else if (!prompt.empty()) {
        shown_text = absl::StrCat("<mark>", EscapeHtmlCut(prompt, 400), "</mark>",
                                  EscapeHtmlCut(text, limits.example_characters));
      } else {
        shown_text = EscapeHtmlCut(text, limits.example_characters);
      }
      absl::StrAppend(&body, "<blockquote><header>", EscapeHtml(stage.name()), "</header><p>", shown_text,
                      "</p></blockquote>");
    }
  }
  if (body.empty()) return "";
  std::string intro = "<p>What the model writes after a prompt (in bold).</p>";
  if (all > shown) absl::StrAppend(&body, "<p class=\"note\">", all - shown, " more samples are in the artifact.</p>");
  return Section("samples", "Samples", absl::StrCat(intro, body));
}

}  // namespace millrace
