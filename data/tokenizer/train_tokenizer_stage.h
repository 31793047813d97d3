// The `train_tokenizer` stage: byte-pair training on documents.
#ifndef MILLRACE_DATA_TOKENIZER_TRAIN_TOKENIZER_STAGE_H_
#define MILLRACE_DATA_TOKENIZER_TRAIN_TOKENIZER_STAGE_H_

#include "absl/status/status.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/tokenizer.pb.h"

namespace millrace::data {

// Reads the inputs "from.N" (held-out documents are passed over) and writes tokenizer.json and tokenizer_config.json to
// the output "tokenizer". Metrics: vocab_size, merges, documents, bytes, unique_words, bytes_per_token.
// InvalidArgument: the text has too few pairs for the vocabulary.
absl::Status TrainTokenizerStage(Stage& stage, const TrainTokenizer& parameters);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TRAIN_TOKENIZER_STAGE_H_
