// Byte-pair training, with 64-bit counts.
//
// The rule: count each adjacent pair over the words, times how often the word occurs (in "aaa" the pair (a, a) counts
// twice); take the pair with the highest count, of equals the one with the smaller left id, then the smaller right id;
// merge it everywhere from left to right; repeat. That is what Hugging Face's BpeTrainer does with min_frequency=0,
// where its 32-bit counts suffice.
// Reference: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units"
// (arXiv:1508.07909), section 3.2.
#ifndef MILLRACE_DATA_TOKENIZER_BPE_TRAINER_H_
#define MILLRACE_DATA_TOKENIZER_BPE_TRAINER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/word_counts.h"

namespace millrace::data {

struct TrainedBpe {
  struct Merge {
    uint32_t left;
    uint32_t right;
    uint32_t result;
    uint64_t count;  // of the pair when it was merged
  };
  // Bytes of each id. The first 256 are the single bytes in the order of BytesInAlphabetOrder().
  std::vector<std::string> tokens;
  std::vector<Merge> merges;
  uint64_t text_ids = 0;  // that the training text has with all merges
};

// Trains until there are `max_tokens` tokens (at least 256), or no pair is left. The order of `words` does not matter.
// Time is about that of visiting each place that changes; memory 20 bytes for each byte of the different words.
// ResourceExhausted: words of 4 GiB or more.
absl::StatusOr<TrainedBpe> TrainBpe(const std::vector<WordCount>& words, uint32_t max_tokens);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_BPE_TRAINER_H_
