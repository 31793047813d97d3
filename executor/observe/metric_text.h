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

// What an `evaluate` stage found of held-out text, in bits per byte of the original documents: the model, and the same
// bytes through gzip -9. Metrics are told apart by the words in their names ("gzip", "concatenated").
struct BitsPerByte {
  absl::optional<double> model;
  absl::optional<double> gzip_per_document;
  absl::optional<double> gzip_concatenated;
};
// `source` is an ordinal; -1: all sources together.
BitsPerByte BitsPerByteOf(const StageView& stage, int source = -1);

// Splits "bits_per_byte.source_3" into "bits_per_byte" and 3. False: no such name.
bool SplitSourceMetric(absl::string_view name, std::string& base, int& ordinal);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_METRIC_TEXT_H_
