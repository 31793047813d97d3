// The `dedup` stage: exact duplicates by SHA-256 of the text (normalized), near duplicates by MinHash and exact Jaccard
// (near_duplicates.h). Duplicate groups are the connected components over both; of each the document with the smallest
// SHA-256 of its text stays (of equal texts the first). What stays keeps its order.
//
// Inputs "from.N", output "documents". Memory: about 90 bytes plus 8 a band for each document (200 with the defaults),
// and two blocks of text. Each text is read twice, those of candidate pairs once more.
//
// Metrics: documents_in, documents_kept, documents_kept_fraction, bytes_in, bytes_kept, exact_duplicates,
// near_duplicates, duplicate_groups, pairs_verified. documents_in = documents_kept + exact_duplicates +
// near_duplicates; near_duplicates counts what is dropped beyond the exact ones.
#ifndef MILLRACE_DATA_DEDUP_DEDUP_STAGE_H_
#define MILLRACE_DATA_DEDUP_DEDUP_STAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/dedup.pb.h"

namespace millrace::data {

absl::Status RunDedup(Stage& stage, const Dedup& parameters);

// Runs of white space (Unicode's) as one space, none at the ends.
std::string WithNormalizedWhiteSpace(absl::string_view text);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_DEDUP_DEDUP_STAGE_H_
