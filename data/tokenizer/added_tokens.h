// Finds added tokens in text.
#ifndef MILLRACE_DATA_TOKENIZER_ADDED_TOKENS_H_
#define MILLRACE_DATA_TOKENIZER_ADDED_TOKENS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace millrace::data {

// The leftmost of a set of texts, the longest one at that place. Immutable once made; thread-safe.
class AddedTokenFinder {
 public:
  // Value i is reported for contents[i]. No text is empty.
  explicit AddedTokenFinder(const std::vector<std::string>& contents);

  bool empty() const { return empty_; }

  struct Match {
    size_t begin = 0;
    size_t end = 0;
    uint32_t value = 0;
  };
  // The matches in a text from left to right, none within another. Passes over text without one at some GB/s; the time
  // for all of them together is linear in the text. Finder and text outlive this. Not thread-safe.
  class Search {
   public:
    Search(const AddedTokenFinder& finder, absl::string_view text) : finder_(finder), text_(text) {}
    // False: there are no more.
    bool Next(Match& match);

   private:
    bool NextByLoop(Match& match);

    const AddedTokenFinder& finder_;
    const absl::string_view text_;
    size_t at_ = 0;
    // Where each first byte occurs next, as far as that is known. Kept from match to match: a byte that does not occur
    // is looked for once.
    static constexpr size_t kBytes = 3;
    size_t next_[kBytes] = {};
    bool known_[kBytes] = {};
  };

 private:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  bool MatchAt(absl::string_view text, size_t begin, Match& match) const;

  bool empty_ = true;
  std::vector<uint8_t> first_bytes_;
  bool starts_[256] = {};
  std::vector<bool> pairs_;                                         // of a first and a second byte
  absl::flat_hash_map<uint64_t, uint32_t> children_;                // node * 256 + byte -> node
  std::vector<uint32_t> values_ = std::vector<uint32_t>(1, kNone);  // of nodes
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_ADDED_TOKENS_H_
