// How many rows a model needs for a tokenizer's ids, from its tokenizer.json.
#ifndef MILLRACE_EXECUTOR_GRAPH_TOKENIZER_VOCABULARY_H_
#define MILLRACE_EXECUTOR_GRAPH_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace millrace {

// The largest id of `model.vocab` and `added_tokens`, plus 1. Reads the file once, some milliseconds for 10 MB.
// InvalidArgument: it is no tokenizer.json. Other errors: it cannot be read.
absl::StatusOr<int64_t> VocabularySizeOf(const std::string& tokenizer_json_path);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_TOKENIZER_VOCABULARY_H_
