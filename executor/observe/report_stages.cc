#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/quantity.h"
#include "executor/observe/display_width.h"
#include "executor/observe/graph_layout.h"
#include "executor/observe/html.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/report_sections.h"

namespace millrace {
namespace {

// Stages to show when there are too many: failed ones and the longest, in topological order.
std::vector<const StageView*> Selected(const RunModel& model, int limit) {
  std::vector<const StageView*> stages;
  for (const StageView& stage : model.stages()) stages.push_back(&stage);
  if (stages.size() <= limit) return stages;
  const auto weight = [](const StageView* stage) {
    const bool failed = stage->state == FAILED || stage->state == GATE_FAILED;
    return failed ? 1e18 : stage->ran() ? stage->DurationSeconds() + 1 : 0;
  };
  std::stable_sort(stages.begin(), stages.end(), [&](auto* a, auto* b) { return weight(a) > weight(b); });
  stages.resize(limit);
  std::sort(stages.begin(), stages.end());  // all point into one vector
  return stages;
}

std::string StateClass(StageState state) {
  switch (state) {
    case COMPLETE:
      return "good";
    case CACHED:
      return "cached";
    case FAILED:
    case GATE_FAILED:
      return "bad";
    default:
      return "warn";
  }
}

constexpr double kBoxHeight = 46, kLayerHeight = 84, kGap = 22, kMargin = 8;

std::string EdgePath(const GraphEdge& edge, const GraphLayout& layout) {
  const auto top = [&](int layer) { return kMargin + layer * kLayerHeight; };
  const int first = layout.nodes[edge.from].layer;
  double x = edge.x[0], y = top(first) + kBoxHeight;
  std::string path = absl::StrCat("M", SvgNumber(x), " ", SvgNumber(y));
  for (size_t i = 1; i < edge.x.size(); ++i) {
    const bool last = i + 1 == edge.x.size();
    const double next_x = edge.x[i];
    const double next_y = top(first + i) - (last ? 5 : 0);
    const double middle = (y + next_y) / 2;
    absl::StrAppend(&path, "C", SvgNumber(x), " ", SvgNumber(middle), " ", SvgNumber(next_x), " ", SvgNumber(middle),
                    " ", SvgNumber(next_x), " ", SvgNumber(next_y));
    x = next_x;
    y = next_y;
    if (!last) {  // straight past the boxes of this layer
      y = top(first + i) + kBoxHeight;
      absl::StrAppend(&path, "V", SvgNumber(y));
    }
  }
  return path;
}

}  // namespace

std::string StagesSection(const RunModel& model, const ReportLimits& limits) {
  const std::vector<const StageView*> stages = Selected(model, limits.stage_rows);
  const double start = model.start_micros();
  const double span = std::max<double>(1, model.last_micros() - model.start_micros());
  std::string body =
      "<div class=\"scroll\"><table class=\"gantt\"><thead><tr><th scope=\"col\">stage</th><th scope=\"col\" "
      "class=\"optional\">kind</th><th scope=\"col\">state</th><th scope=\"col\">when it ran</th><th scope=\"col\" "
      "class=\"n\">"
      "took</th><th scope=\"col\" class=\"n optional\">peak memory</th></tr></thead><tbody>";
  for (const StageView* stage : stages) {
    absl::StrAppend(&body, "<tr><th scope=\"row\">", EscapeHtml(stage->name()), "</th><td class=\"soft optional\">",
                    EscapeHtml(stage->info.kind()), "</td><td>", StateBadge(stage->state), "</td><td class=\"line\">");
    if (stage->ran() && stage->first_started_micros > 0) {
      const double left = (stage->first_started_micros - start) / span * 100;
      const double width = (stage->finished_micros - stage->first_started_micros) / span * 100;
      absl::StrAppend(
          &body,
          "<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" "
          "width=\"100\" height=\"12\"/><rect class=\"",
          stage->state == COMPLETE ? "f1" : "fbad", "\" x=\"", SvgNumber(std::min(left, 99.6)), "\" width=\"",
          SvgNumber(std::max(width, 0.4)), "\" height=\"12\"/></svg>");
    } else if (stage->state == CACHED) {
      absl::StrAppend(&body, "<span class=\"soft\" title=\"not needed\">–</span>");
    }
    const double seconds = stage->DurationSeconds();
    const int64_t memory = stage->entry ? stage->entry->peak_memory_bytes() : 0;
    absl::StrAppend(&body, "</td><td class=\"n\">",
                    stage->state == CACHED && seconds > 0
                        ? absl::StrCat("<span class=\"soft\">(", FormatSeconds(seconds), ")</span>")
                    : seconds > 0 ? FormatSeconds(seconds)
                                  : "<span class=\"soft\">–</span>",
                    "</td><td class=\"n optional\">",
                    memory > 0 ? FormatBytes(memory) : "<span class=\"soft\">–</span>", "</td></tr>");
  }
  absl::StrAppend(&body,
                  "</tbody></table></div><p class=\"note\">In brackets: how long it took in the run that made the "
                  "cached result. The bars span ",
                  FormatSeconds(span * 1e-6), ".");
  if (stages.size() < model.stages().size()) {
    absl::StrAppend(&body, " Shown: ", stages.size(), " of ", FormatGrouped(model.stages().size()),
                    " stages, failed and longest ones first choice; <code>millrace status</code> lists all.");
  }
  absl::StrAppend(&body, "</p>");
  return Section("stages", "Time per stage", body);
}

std::string GraphSection(const RunModel& model, const ReportLimits& limits) {
  const int count = model.stages().size();
  std::vector<std::pair<int, int>> edges;
  for (int to = 0; to < count; ++to) {
    for (const StageInputInfo& input : model.stages()[to].info.input()) {
      if (input.stage().empty()) continue;
      const StageView* from = model.Find(input.stage());
      if (from == nullptr) continue;
      const std::pair<int, int> edge(from - model.stages().data(), to);
      if (edge.first < to && std::find(edges.begin(), edges.end(), edge) == edges.end()) edges.push_back(edge);
      if (edges.size() > limits.graph_edges) break;
    }
  }
  if (count == 0) return "";
  if (count > limits.graph_stages || edges.size() > limits.graph_edges) {
    return Section(
        "graph", "The graph",
        absl::StrCat(
            "<p>", FormatGrouped(count), " stages",
            edges.size() > limits.graph_edges ? absl::StrCat(" with more than ", limits.graph_edges, " edges") : "",
            ": too many for a drawing that helps (the bound is ", limits.graph_stages,
            "). <code>millrace plan --format=json</code> has the whole graph.</p>"));
  }
  std::vector<double> widths;
  for (const StageView& stage : model.stages()) {
    widths.push_back(
        std::clamp(std::max(DisplayWidth(stage.name()) * 8.0,
                            (DisplayWidth(stage.info.kind()) + DisplayWidth(StateName(stage.state)) + 2) * 6.3) +
                       28,
                   92.0, 240.0));
  }
  const GraphLayout layout = LayOut(widths, edges, kGap);
  const double width = layout.width + 2 * kMargin;
  const double height = layout.layers * kLayerHeight - (kLayerHeight - kBoxHeight) + 2 * kMargin;
  std::string body = absl::StrCat(
      "<div class=\"scroll\"><svg class=\"dag\" role=\"img\" aria-labelledby=\"dag-t dag-d\" viewBox=\"0 0 ",
      SvgNumber(width), " ", SvgNumber(height), "\" width=\"", SvgNumber(width), "\" height=\"", SvgNumber(height),
      "\" style=\"min-width:", SvgNumber(width * 0.9),  // smaller letters cannot be read: it scrolls

      "px;height:auto\"><title id=\"dag-t\">The stages and what flows between them</title><desc id=\"dag-d\">", count,
      " stages in ", layout.layers,
      " layers, from top to bottom. The table below lists what each stage reads.</desc>"
      "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"6\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
      "orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8Z\"/></marker></defs><g transform=\"translate(",
      kMargin, ",0)\">");
  for (const GraphEdge& edge : layout.edges) {
    absl::StrAppend(&body, "<path marker-end=\"url(#tip)\" d=\"", EdgePath(edge, layout), "\"/>");
  }
  for (int i = 0; i < count; ++i) {
    const StageView& stage = model.stages()[i];
    const GraphNode& node = layout.nodes[i];
    const double y = kMargin + node.layer * kLayerHeight;
    absl::StrAppend(&body, "<g class=\"", StateClass(stage.state), "\"><title>", EscapeHtml(stage.name()), ": ",
                    StateName(stage.state), "</title><rect x=\"", SvgNumber(node.x - node.width / 2), "\" y=\"",
                    SvgNumber(y), "\" width=\"", SvgNumber(node.width), "\" height=\"", kBoxHeight,
                    "\" rx=\"8\"/><text x=\"", SvgNumber(node.x), "\" y=\"", SvgNumber(y + 20), "\">",
                    EscapeHtml(ElideMiddle(stage.name(), 24)), "</text><text class=\"kind\" x=\"", SvgNumber(node.x),
                    "\" y=\"", SvgNumber(y + 36), "\">", EscapeHtml(stage.info.kind()), ", ", StateName(stage.state),
                    "</text></g>");
  }
  absl::StrAppend(&body,
                  "</g></svg></div><details><summary>The same as a table</summary><div class=\"scroll\"><table><thead>"
                  "<tr><th scope=\"col\">stage</th><th scope=\"col\">kind</th><th scope=\"col\">reads</th></tr>"
                  "</thead><tbody>");
  for (const StageView& stage : model.stages()) {
    std::vector<std::string> inputs;
    for (const StageInputInfo& input : stage.info.input()) {
      inputs.push_back(
          input.stage().empty()
              ? "files from outside"
              : absl::StrCat(EscapeHtml(input.stage()), input.output().empty() ? "" : ".", EscapeHtml(input.output())));
    }
    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    absl::StrAppend(&body, "<tr><th scope=\"row\">", EscapeHtml(stage.name()), "</th><td class=\"soft\">",
                    EscapeHtml(stage.info.kind()), "</td><td>", absl::StrJoin(inputs, ", "), "</td></tr>");
  }
  absl::StrAppend(&body, "</tbody></table></div></details>");
  return Section("graph", "The graph", body);
}

}  // namespace millrace
