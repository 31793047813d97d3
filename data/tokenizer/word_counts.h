// How often each piece occurs in a corpus: what byte-pair training works on.
#ifndef MILLRACE_DATA_TOKENIZER_WORD_COUNTS_H_
#define MILLRACE_DATA_TOKENIZER_WORD_COUNTS_H_

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/tokenizer/pre_tokenizer.h"

namespace millrace::data {

struct WordCount {
  std::string word;  // bytes
  uint64_t count = 0;
  friend bool operator==(const WordCount&, const WordCount&) = default;
};

// Thread-safe. The result does not depend on the order of the calls. Memory grows with the different pieces, up to a
// bound.
class WordCounter {
 public:
  // `pre_tokenizer` outlives this. `max_bytes` bounds the memory: 64 bytes and its length for each different piece.
  explicit WordCounter(const PreTokenizer& pre_tokenizer, int64_t max_bytes = kDefaultMaxBytes);

  // Counts the pieces of one document. What is not UTF-8 is read as U+FFFD.
  void Add(absl::string_view text);

  // The counts by word, in byte order. Leaves nothing behind. ResourceExhausted: the bound was passed.
  absl::StatusOr<std::vector<WordCount>> Take();

  static constexpr int64_t kDefaultMaxBytes = int64_t{1} << 30;

 private:
  struct Shard {
    std::mutex mutex;
    absl::flat_hash_map<std::string, uint64_t> counts;
    int64_t bytes = 0;  // of memory
  };
  static constexpr int kShards = 64;
  static constexpr int64_t kBytesPerWord = 64;

  const PreTokenizer& pre_tokenizer_;
  const int64_t max_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_WORD_COUNTS_H_
