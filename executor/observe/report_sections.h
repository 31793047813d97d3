// The sections of the HTML report. Each returns a piece of HTML, or "" when the run has nothing for it.
#ifndef MILLRACE_EXECUTOR_OBSERVE_REPORT_SECTIONS_H_
#define MILLRACE_EXECUTOR_OBSERVE_REPORT_SECTIONS_H_

#include <string>
#include <utility>
#include <vector>

#include "executor/observe/run_model.h"

namespace millrace {

// What is shown at most; a section that cuts says so.
struct ReportLimits {
  int stage_rows = 300;    // of a table
  int graph_stages = 120;  // more: no drawing
  int graph_edges = 400;
  int provenance_stages = 150;  // with all components of their keys
  int key_components = 200;     // of a stage
  int examples_per_group = 8;
  int example_characters = 1200;
  int samples = 24;
  int text_characters = 200'000;  // of the resolved pipeline
  int value_characters = 160;     // of a key component
};

std::string OverviewSection(const RunModel& model, const std::vector<std::pair<std::string, std::string>>& facts);
std::string FailureSection(const RunModel& model, const ReportLimits& limits);
std::string EvaluationSection(const RunModel& model, const ReportLimits& limits);
std::string TrainingSection(const RunModel& model);
std::string StagesSection(const RunModel& model, const ReportLimits& limits);
std::string GraphSection(const RunModel& model, const ReportLimits& limits);
std::string DataSection(const RunModel& model, const ReportLimits& limits);
std::string SamplesSection(const RunModel& model, const ReportLimits& limits);
std::string ProvenanceSection(const RunModel& model, const ReportLimits& limits);

// Shared pieces.

// `<section id="ID"><h2>TITLE</h2>BODY</section>`; "" without a body.
std::string Section(const std::string& id, const std::string& title, const std::string& body);
// The state as a word with a colored mark.
std::string StateBadge(StageState state);
// A metric's value, or a dash.
std::string MetricCell(const std::string& name, const absl::optional<double>& value);
// Whether an example is a sample of the model rather than a document of the data.
bool IsSample(const Example& example);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_REPORT_SECTIONS_H_
