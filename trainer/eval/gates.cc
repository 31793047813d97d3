#include "trainer/eval/gates.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/diagnostic.h"
#include "pipelines/protocol/stage.h"

namespace millrace::trainer {
namespace {

constexpr absl::string_view kGzipBaseline = "gzip";

absl::Status NoSuchMetricError(const std::string& name, const Metrics& metrics) {
  std::vector<std::string> names;
  for (const auto& [known, value] : metrics) {
    if (!absl::StrContains(known, ".")) names.push_back(known);
  }
  std::vector<std::string> all;
  for (const auto& [known, value] : metrics) all.push_back(known);
  const std::string closest = Closest(name, all);
  std::string fix;
  if (!closest.empty()) {
    fix = absl::StrCat("metric: \"", closest, "\"");
  } else if (absl::StrContains(name, kGzipBaseline) && metrics.count("bits_per_byte_over_gzip") == 0) {
    fix = "likelihood { gzip_baseline: true } measures it";
  } else if (metrics.empty()) {
    fix = "likelihood { data: \"shards.held_out\" } measures some";
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "gate \"", name, "\": no metric has this name",
      names.empty() ? "\n  why: nothing was measured"
                    : absl::StrCat("\n  why: there are ", absl::StrJoin(names, ", "), ", and most with .source_N"),
      fix.empty() ? "" : absl::StrCat("\n  fix: ", fix)));
}

std::string Failure(const Evaluate::Gate& gate, double value, absl::string_view relation, double bound) {
  return absl::StrCat("gate \"", gate.metric(), "\" does not hold: ", value, " is ", relation, " ", bound,
                      gate.because().empty() ? "" : absl::StrCat(" (", gate.because(), ")"));
}

}  // namespace

absl::Status CheckGates(const Evaluate& parameters, const Metrics& metrics) {
  for (const Evaluate::Gate& gate : parameters.gate()) {
    if (metrics.count(gate.metric()) == 0) return NoSuchMetricError(gate.metric(), metrics);
  }
  std::vector<std::string> failures;
  for (const Evaluate::Gate& gate : parameters.gate()) {
    const double value = metrics.at(gate.metric());
    if (gate.has_min() && !(value >= gate.min())) failures.push_back(Failure(gate, value, "below its min", gate.min()));
    if (gate.has_max() && !(value <= gate.max())) failures.push_back(Failure(gate, value, "above its max", gate.max()));
  }
  if (failures.empty()) return absl::OkStatus();
  // One line: the executor shows the last one of the log.
  return GateFailedError(absl::StrJoin(failures, "; "));
}

}  // namespace millrace::trainer
