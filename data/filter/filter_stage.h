// The `filter` stage (pipelines/schema/filter.proto). Inputs "from.N", output "documents". Rules are applied in order;
// one sees the text as the redactions before it left it. A document is dropped by the first rule that it fails.
//
// Patterns: `^` and `$` are the ends of the text; with (?m) those of a line. An empty `replacement` takes the match
// away.
//
// Metrics: documents_in, documents_kept, documents_kept_fraction, documents_dropped, documents_dropped.RULE,
// redactions.RULE, bytes_in, bytes_kept, bytes_dropped, bytes_redacted (by how much redactions made kept and dropped
// texts shorter). documents_in = documents_kept + documents_dropped and bytes_in = bytes_kept + bytes_dropped +
// bytes_redacted: the stage checks it. Examples: the first three documents of each rule.
#ifndef MILLRACE_DATA_FILTER_FILTER_STAGE_H_
#define MILLRACE_DATA_FILTER_FILTER_STAGE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/filter.pb.h"

namespace millrace::data {

absl::Status RunFilter(Stage& stage, const Filter& parameters);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_FILTER_FILTER_STAGE_H_
