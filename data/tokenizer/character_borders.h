// Which borders between two characters of three bytes (Chinese, Japanese, Korean, Thai and others) no merge reaches
// over: one look there instead of the several that it takes to undo the merges of the tokens on both sides.
#ifndef MILLRACE_DATA_TOKENIZER_CHARACTER_BORDERS_H_
#define MILLRACE_DATA_TOKENIZER_CHARACTER_BORDERS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "data/tokenizer/pair_filter.h"

namespace millrace::data {

// Thread-safe once made. 16 KiB and some 3 bytes for each pair of characters that a merge joins.
class CharacterBorders {
 public:
  CharacterBorders() = default;
  // `merges` are the bytes of the two parts of each merge.
  explicit CharacterBorders(const std::vector<std::pair<absl::string_view, absl::string_view>>& merges);

  // Whether certainly no merge has a part that ends at `p` and one that begins there. On both sides of `p` at least
  // three bytes belong to the tokens whose merges are asked for.
  bool IsClosed(const char* p) const {
    if (!IsCharacter(p - 3) || !IsCharacter(p)) return false;
    const uint32_t left = CharacterAt(p - 3), right = CharacterAt(p);
    return !pairs_.MayHold(PairFilter::Hash(left, right)) && !lefts_[left] && !rights_[right];
  }

 private:
  static constexpr uint32_t kCharacters = 0x10000;

  static uint32_t Byte(const char* p, int i) { return static_cast<uint8_t>(p[i]); }
  static bool IsLead(uint32_t byte) { return (byte & 0xF0) == 0xE0; }
  static bool IsContinuation(uint32_t byte) { return (byte & 0xC0) == 0x80; }
  static bool IsCharacter(const char* p) {
    return IsLead(Byte(p, 0)) && IsContinuation(Byte(p, 1)) && IsContinuation(Byte(p, 2));
  }
  static uint32_t CharacterAt(const char* p) {
    return (Byte(p, 0) & 0x0F) << 12 | (Byte(p, 1) & 0x3F) << 6 | (Byte(p, 2) & 0x3F);
  }

  PairFilter pairs_;          // of the characters on both sides of a merge's border
  std::vector<bool> lefts_;   // of each character: merges of it and a piece of another exist
  std::vector<bool> rights_;  // ... of a piece of another and it
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_CHARACTER_BORDERS_H_
