// The `tokenize` stage: documents to ids.
#ifndef MILLRACE_DATA_TOKENIZER_TOKENIZE_STAGE_H_
#define MILLRACE_DATA_TOKENIZER_TOKENIZE_STAGE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/tokenizer.pb.h"

namespace millrace::data {

// Reads the inputs "from.N" and "tokenizer" and writes a token file (token_file.h) to the output "tokens", documents in
// order. Metrics: documents, tokens, bytes, bytes_per_token.
absl::Status TokenizeStage(Stage& stage, const Tokenize& parameters);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TOKENIZE_STAGE_H_
