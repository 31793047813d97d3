// The `split` stage (pipelines/schema/split.proto): input "from", output "documents" with the mark `held_out` set anew.
//
// A document's place is u = SHA-256("millrace.split.v1" and a zero byte, text) as a fraction of its range, so that it
// depends on the text alone and on nothing around it. Twins (twin_key.h) share the smallest place among them. Held out
// is what has u < held_out_fraction; with `held_out_max`, of those the smallest places first, each as far as it still
// fits.
//
// A training document is dropped if its text is that of a held-out one, or if the Jaccard of their shingles (five
// words; data/dedup/shingles.h) is at least `drop_train_jaccard` and above 0. The comparison is exact and with every
// held-out document. So 0 drops whatever shares five words in a row with a held-out document, and 1 only what has the
// same shingles.
//
// Memory: about 50 bytes a document and 16 a shingle of the held-out text (3 to 6 times its size; above 2^28 shingles
// the stage fails and asks for held_out_max). Each text is read twice, held-out ones once more.
//
// Metrics: documents_in, documents_train, documents_held_out, documents_dropped, bytes_in, bytes_train, bytes_held_out,
// bytes_dropped (the books balance: checked).
#ifndef MILLRACE_DATA_SPLIT_SPLIT_STAGE_H_
#define MILLRACE_DATA_SPLIT_SPLIT_STAGE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/split.pb.h"

namespace millrace::data {

absl::Status RunSplit(Stage& stage, const Split& parameters);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SPLIT_SPLIT_STAGE_H_
