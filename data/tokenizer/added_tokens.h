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
  // The first match at or behind `from`; false: there is none. Passes over text without one at some GB/s.
  bool Find(absl::string_view text, size_t from, Match& match) const;

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
