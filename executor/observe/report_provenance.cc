#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/quantity.h"
#include "executor/observe/html.h"
#include "executor/observe/report_sections.h"

namespace millrace {
namespace {

void AppendRow(std::string& html, const std::string& label, const std::string& value, bool mono = false) {
  if (value.empty()) return;
  absl::StrAppend(&html, "<tr><th scope=\"row\">", EscapeHtml(label), "</th><td", mono ? " class=\"mono digest\"" : "",
                  ">", EscapeHtml(value), "</td></tr>");
}

// May be broken behind its dots and underscores, for a narrow screen.
std::string BreakablePath(const std::string& path) {
  return absl::StrReplaceAll(EscapeHtml(path), {{".", ".<wbr>"}, {"_", "_<wbr>"}});
}

std::string RunTable(const RunModel& model) {
  const RunStarted& started = model.started();
  const MachineFacts& machine = started.machine();
  std::string html = "<div class=\"scroll\"><table><tbody>";
  AppendRow(html, "run", started.run_id(), true);
  AppendRow(html, "pipeline file", started.file(), true);
  AppendRow(html, "profile", started.profile());
  AppendRow(html, "arguments", absl::StrJoin(started.argument(), " "), true);
  AppendRow(html, "Millrace", started.millrace_version());
  AppendRow(html, "processors given to stages", started.jobs() > 0 ? absl::StrCat(started.jobs()) : "");
  AppendRow(html, "machine", machine.host());
  AppendRow(html, "processor",
            machine.cpu_model().empty() ? "" : absl::StrCat(machine.cpu_model(), ", ", machine.cpus(), " logical"));
  AppendRow(html, "memory", machine.memory_bytes() > 0 ? FormatBytes(machine.memory_bytes()) : "");
  AppendRow(html, "kernel", machine.kernel());
  AppendRow(html, "C library", machine.libc());
  AppendRow(html, "numerics class", machine.numerics());
  absl::StrAppend(&html,
                  "</tbody></table></div><p class=\"note\">Machine facts are for the record; of them only the "
                  "numerics class is in keys.</p>");
  return html;
}

std::string StageDetails(const StageView& stage, const ReportLimits& limits) {
  std::string html =
      absl::StrCat("<details><summary><b>", EscapeHtml(stage.name()), "</b> ", EscapeHtml(stage.info.kind()), ", ",
                   StateName(stage.state), "</summary><div class=\"scroll\"><table><tbody>");
  AppendRow(html, "key", stage.key, true);
  AppendRow(html, "tool", stage.tool_digest, true);
  if (stage.entry) {
    const ActionEntry& entry = *stage.entry;
    for (const OutputTree& output : entry.output()) {
      AppendRow(html, absl::StrCat("output ", output.name()),
                absl::StrCat(output.digest(), "  (", FormatGrouped(output.files()),
                             output.files() == 1 ? " file, " : " files, ", FormatBytes(output.size_bytes()), ")"),
                true);
    }
    AppendRow(html, "made by run", entry.run_id(), true);
    if (entry.duration_seconds() > 0) {
      AppendRow(html, "took",
                absl::StrCat(FormatSeconds(entry.duration_seconds()), ", ", FormatSeconds(entry.cpu_seconds()),
                             " of processor time, ", FormatBytes(entry.peak_memory_bytes()), " peak memory"));
    }
  }
  if (stage.attempt > 1) AppendRow(html, "attempts", absl::StrCat(stage.attempt));
  for (size_t i = 0; i < stage.warnings.size() && i < 20; ++i) AppendRow(html, "warning", stage.warnings[i]);
  absl::StrAppend(&html, "</tbody></table></div>");
  const int components = stage.key_record.component_size();
  if (components > 0) {
    absl::StrAppend(&html,
                    "<div class=\"scroll\"><table><caption>What its key is made of</caption><thead><tr>"
                    "<th scope=\"col\">component</th><th scope=\"col\">value</th></tr></thead><tbody>");
    for (int i = 0; i < std::min(components, limits.key_components); ++i) {
      const KeyComponent& component = stage.key_record.component(i);
      absl::StrAppend(&html, "<tr><th scope=\"row\" class=\"mono\">", BreakablePath(component.path()),
                      "</th><td class=\"mono digest\">", EscapeHtmlCut(component.value(), limits.value_characters),
                      "</td></tr>");
    }
    absl::StrAppend(&html, "</tbody></table></div>");
    if (components > limits.key_components) {
      absl::StrAppend(&html, "<p class=\"note\">", components - limits.key_components, " more components.</p>");
    }
  }
  absl::StrAppend(&html, "</details>");
  return html;
}

}  // namespace

std::string ProvenanceSection(const RunModel& model, const ReportLimits& limits) {
  std::string body = RunTable(model);
  absl::StrAppend(&body, "<div class=\"sub\"><h3>Stages <small>keys, tools, digests, parameters</small></h3>");
  int shown = 0;
  for (const StageView& stage : model.stages()) {
    if (shown == limits.provenance_stages) break;
    absl::StrAppend(&body, StageDetails(stage, limits));
    ++shown;
  }
  if (shown < model.stages().size()) {
    absl::StrAppend(&body, "<p class=\"note\">", FormatGrouped(model.stages().size() - shown),
                    " more stages: <code>millrace status --format=json</code> has them.</p>");
  }
  absl::StrAppend(&body, "</div>");
  std::vector<std::string> notes = model.notes();
  if (!notes.empty()) {
    const size_t count = std::min<size_t>(notes.size(), 50);
    absl::StrAppend(&body, "<div class=\"sub\"><h3>Notes of the executor</h3><ul>");
    for (size_t i = 0; i < count; ++i) absl::StrAppend(&body, "<li>", EscapeHtmlCut(notes[i], 1000), "</li>");
    absl::StrAppend(&body, "</ul>");
    if (count < notes.size()) absl::StrAppend(&body, "<p class=\"note\">", notes.size() - count, " more.</p>");
    absl::StrAppend(&body, "</div>");
  }
  if (!model.started().resolved_text().empty()) {
    absl::StrAppend(&body, "<details><summary>The pipeline as it was run: profile merged, flags applied</summary><pre>",
                    EscapeHtmlCut(model.started().resolved_text(), limits.text_characters), "</pre></details>");
  }
  return Section("provenance", "Provenance", body);
}

}  // namespace millrace
