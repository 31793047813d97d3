// Continuations of a prompt, as a function of (model, tokenizer, prompt, seed) alone.
#ifndef MILLRACE_TRAINER_EVAL_SAMPLING_H_
#define MILLRACE_TRAINER_EVAL_SAMPLING_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "data/tokenizer/tokenizer.h"
#include "trainer/eval/parallel_inference.h"

namespace millrace::trainer {

struct SampleRequest {
  std::string prompt;
  int64_t max_new_tokens = 64;
  double temperature = 0;  // 0: the likeliest token, of equals the one with the lowest id
  int64_t index = 0;       // among the samples of this prompt: each draws differently
};

// The next token. `uniform` in (0, 1) is used only with a temperature: the first id at which the probabilities
// (softmax of logits / temperature), added in order of ids in float64, exceed it.
uint32_t ChooseToken(absl::Span<const float> logits, double temperature, double uniform);

// For each request the text that follows its prompt, ending before the first EOS or after max_new_tokens. As documents
// begin with EOS, so does the prompt; special tokens in it are text like any other. At each step the model sees the
// last max_position_embeddings ids at most: beyond that the window slides by one. Bytes that are not UTF-8 (a character
// of several tokens, cut at the end) are U+FFFD. Requests run in parallel; results do not depend on the threads.
// Cost: a forward pass over the ids so far for each new token (no key-value cache).
//   `stop` is asked now and then: true gives Cancelled.
//   InvalidArgument: the tokenizer has no end-of-text token, or ids outside of the model's vocabulary.
//   FailedPrecondition: a logit is not a finite number.
absl::StatusOr<std::vector<std::string>> Sample(const std::vector<SampleRequest>& requests,
                                                const data::Tokenizer& tokenizer, uint64_t seed,
                                                ParallelInference& model, const std::function<bool()>& stop);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_SAMPLING_H_
