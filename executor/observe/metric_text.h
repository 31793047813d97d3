// Metrics and stages in words, the same in every viewer.
#ifndef MILLRACE_EXECUTOR_OBSERVE_METRIC_TEXT_H_
#define MILLRACE_EXECUTOR_OBSERVE_METRIC_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "executor/observe/run_model.h"

namespace millrace {

// The value with the unit that the name tells: "text_bytes" 17 MB -> "16.2 MiB", "documents" 3117 -> "3 117",
// "documents_kept_fraction" 0.861 -> "86.1 %", "bits_per_byte" -> "2.04".
std::string FormatMetric(absl::string_view name, double value);
// "learning_rate" -> "learning rate"; "time." and ".source_N" are left out.
std::string MetricLabel(absl::string_view name);

// "1:02", "1:01:02".
std::string FormatClock(double seconds);

// What a finished stage made or found, in a phrase: "2 684 kept, 401 exact and 32 near duplicates dropped". May be
// empty.
std::string StageHeadline(const StageView& stage);

// A stage's metrics that exist once per source ("bits_per_byte.source_0"), as a table. Rows are ordinals in
// StageInfo.source; a last row has the metric without a source, where there is one.
struct SourceTable {
  struct Row {
    std::string source;  // "" : all sources together
    std::vector<absl::optional<double>> value;
  };
  std::vector<std::string> column;  // metric names without ".source_N"
  std::vector<Row> row;
};
SourceTable SourceTableOf(const StageView& stage);

// Splits "bits_per_byte.source_3" into "bits_per_byte" and 3. False: no such name.
bool SplitSourceMetric(absl::string_view name, std::string& base, int& ordinal);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_METRIC_TEXT_H_
