// Of two tokens that meet between whole characters, what a merge could join ends with the left character or is one or
// two of its last bytes, and begins with the right one or is one or two of its first bytes.
#include "data/tokenizer/character_borders.h"

namespace millrace::data {

CharacterBorders::CharacterBorders(const std::vector<std::pair<absl::string_view, absl::string_view>>& merges)
    : lefts_(kCharacters), rights_(kCharacters) {
  std::vector<uint64_t> pairs;  // hashes
  for (const auto& [left, right] : merges) {
    const char* const last = left.data() + left.size() - 3;
    const bool left_whole = left.size() >= 3 && IsCharacter(last);
    const bool left_piece = left.size() <= 2 && IsContinuation(left.front()) && IsContinuation(left.back());
    const bool right_whole = right.size() >= 3 && IsCharacter(right.data());
    const bool right_piece =
        right.size() <= 2 && IsLead(right.front()) && (right.size() == 1 || IsContinuation(right.back()));
    if (left_whole && right_whole) {
      pairs.push_back(PairFilter::Hash(CharacterAt(last), CharacterAt(right.data())));
    } else if (left_whole && right_piece) {
      lefts_[CharacterAt(last)] = true;
    } else if (left_piece && right_whole) {
      rights_[CharacterAt(right.data())] = true;
    } else if (left_piece && right_piece) {
      // All characters that begin with `right`.
      const uint32_t first = (right[0] & 0x0F) << 12 | (right.size() == 1 ? 0 : (right[1] & 0x3F) << 6);
      const uint32_t count = right.size() == 1 ? 1 << 12 : 1 << 6;
      for (uint32_t c = first; c < first + count; ++c) rights_[c] = true;
    }
  }
  pairs_ = PairFilter(pairs.size());
  for (const uint64_t hash : pairs) pairs_.Add(hash);
}

}  // namespace millrace::data
