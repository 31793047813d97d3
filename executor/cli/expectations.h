// A profile's `expect` lines: whether results hold them, and rewriting them in the file.
#ifndef MILLRACE_EXECUTOR_CLI_EXPECTATIONS_H_
#define MILLRACE_EXECUTOR_CLI_EXPECTATIONS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "executor/cas/entry.pb.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {

struct ExpectationResult {
  Expectation expectation;
  bool holds = false;
  bool found = false;  // the stage has such a metric or output
  double value = 0;    // of the metric
  std::string digest;  // of the output
  std::string text;    // "pretrain loss_at_step_40: 5.123, expected 5.1 within 0.02"
};

// Entries by stage name. A stage without an entry holds nothing.
std::vector<ExpectationResult> CheckExpectations(const google::protobuf::RepeatedPtrField<Expectation>& expectations,
                                                 const std::map<std::string, ActionEntry>& entries);

// `text` (a pipeline file) with the golden values and digests of these expectations replaced by what was found. Only
// values change: comments, order and layout stay. Expectations are found in `profile` and in what it extends. Bounds
// are not changed. InvalidArgument: the text does not parse.
absl::StatusOr<std::string> UpdateExpectations(absl::string_view text, absl::string_view profile,
                                               const std::vector<ExpectationResult>& results);

// Lines that differ, with their numbers, as "-41: old" and "+41: new". The texts have the same number of lines.
std::string LineDifference(absl::string_view before, absl::string_view after);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_EXPECTATIONS_H_
