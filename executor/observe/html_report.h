// A run as one HTML file: no script, no other file, no network; light and dark by the reader's preference.
#ifndef MILLRACE_EXECUTOR_OBSERVE_HTML_REPORT_H_
#define MILLRACE_EXECUTOR_OBSERVE_HTML_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "executor/observe/report_sections.h"
#include "executor/observe/run_model.h"

namespace millrace {

struct ReportOptions {
  // What else to say at the top: {"model", "0.93 M parameters"}.
  std::vector<std::pair<std::string, std::string>> facts;
  ReportLimits limits;
};

// A function of the run alone: the same model gives the same bytes. A few hundred KB at most whatever the run.
std::string HtmlReport(const RunModel& model, const ReportOptions& options = {});

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_HTML_REPORT_H_
