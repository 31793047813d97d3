// The `tokenizer` stage: takes a tokenizer.json in, once it is sure that it can be used exactly.
#ifndef MILLRACE_DATA_TOKENIZER_IMPORT_TOKENIZER_STAGE_H_
#define MILLRACE_DATA_TOKENIZER_IMPORT_TOKENIZER_STAGE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/tokenizer.pb.h"

namespace millrace::data {

// Among the files of the input "files" is one tokenizer.json, maybe with a tokenizer_config.json beside it; both are
// copied to the output "tokenizer", and without the latter a small one is written. Metrics: vocab_size, merges.
absl::Status ImportTokenizerStage(Stage& stage, const ::millrace::Tokenizer& parameters);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_IMPORT_TOKENIZER_STAGE_H_
