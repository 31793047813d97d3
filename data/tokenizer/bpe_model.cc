// The fast path. A sequence of tokens is the encoding of a piece if and only if each token is the encoding of its own
// bytes and each two neighbours stay apart, which can be decided by undoing merges from the latest on: until the later
// of the two was made, its inner part stood beside the other token, and a merge of those two of lower rank would have
// come first. So: take the longest token; where it does not go with the one before, the next shorter one; where none
// does, step back. A position that was stepped back from is never tried again, hence linear time.
// Where the processor waits is memory, so what is looked at most is small: most neighbours in Chinese text are settled
// by CharacterBorders, most of the others by the verdicts of a thread's Scratch.
// Reference: "So many tokens, so little time: Introducing a faster, more flexible byte-pair tokenizer" (The GitHub
// Blog, 2024), section "Backtracking via dynamic programming".
#include "data/tokenizer/bpe_model.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace millrace::data {
namespace {

uint64_t Key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

// A slot of the table of pairs; all ones is none, since no symbol has that number.
constexpr int kSymbolBits = 21;
constexpr int kRankBits = 64 - 2 * kSymbolBits;
constexpr uint64_t kRankMask = (uint64_t{1} << kRankBits) - 1;
constexpr uint64_t kNoSlot = ~uint64_t{0};
constexpr size_t kMostMerges = (size_t{1} << kSymbolBits) - 256 - 1;

uint64_t SlotKey(uint32_t left, uint32_t right) {
  return uint64_t{left} << (kSymbolBits + kRankBits) | uint64_t{right} << kRankBits;
}

}  // namespace

void IdBuffer::Grow(size_t count) {
  capacity_ = std::max(size_ + count, capacity_ * 2 + 64);
  std::unique_ptr<uint32_t[]> larger(new uint32_t[capacity_]);
  std::copy_n(ids_.get(), size_, larger.get());
  ids_ = std::move(larger);
}

void BpeModel::PairTable::Build(const std::vector<std::array<uint32_t, 2>>& pairs) {
  const int bits = std::bit_width(pairs.size() * 2 + 1);
  slots_.assign(size_t{1} << bits, kNoSlot);
  mask_ = slots_.size() - 1;
  filter_ = PairFilter(pairs.size());
  for (uint32_t rank = 0; rank < pairs.size(); ++rank) {
    if (pairs[rank][0] == kNone || pairs[rank][1] == kNone) continue;
    const uint64_t hash = PairFilter::Hash(pairs[rank][0], pairs[rank][1]);
    filter_.Add(hash);
    size_t i = hash >> 20 & mask_;
    while (slots_[i] != kNoSlot) i = (i + 1) & mask_;
    slots_[i] = SlotKey(pairs[rank][0], pairs[rank][1]) | rank;
  }
}

inline uint32_t BpeModel::PairTable::Rank(uint32_t left, uint32_t right) const {
  const uint64_t hash = PairFilter::Hash(left, right);
  if (!filter_.MayHold(hash)) return kNone;
  const uint64_t slot_key = SlotKey(left, right);
  for (size_t i = hash >> 20 & mask_;; i = (i + 1) & mask_) {
    const uint64_t slot = slots_[i];
    if ((slot ^ slot_key) <= kRankMask) return slot & kRankMask;
    if (slot == kNoSlot) return kNone;
  }
}

uint32_t BpeModel::Trie::FindBase(const std::vector<uint8_t>& bytes) {
  while (first_free_ < units_.size() && units_[first_free_].label != kNoLabel) ++first_free_;
  for (uint32_t base = std::max<int64_t>(int64_t{first_free_} - bytes[0], 1);; ++base) {
    if (base + 256 > units_.size()) {
      units_.resize(std::max<size_t>(units_.size() * 3 / 2, base + 512), {kNoLabel, 0, kNone});
      base_used_.resize(units_.size(), false);
    }
    const bool fits = !base_used_[base] && std::all_of(bytes.begin(), bytes.end(),
                                                       [&](uint8_t b) { return units_[base + b].label == kNoLabel; });
    if (fits) {
      base_used_[base] = true;
      return base;
    }
    // Near the front only crumbs are free: let searches begin further on once they have become long.
    if (base > first_free_ + 192) first_free_ += 32;
  }
}

bool BpeModel::Trie::Build(const std::vector<std::pair<std::string, uint32_t>>& sorted) {
  struct Pending {
    uint32_t rank;  // smallest symbol behind the node
    uint32_t node;
    size_t begin, end;  // of `sorted`, which share the node's `depth` bytes
    size_t depth;
    bool operator<(const Pending& other) const { return rank > other.rank; }
  };
  units_.assign(512, {kNoLabel, 0, kNone});  // no byte leads to the root either
  base_used_.assign(512, false);
  // Low ranks first: they occur most, and so lie together.
  std::priority_queue<Pending> pending;
  pending.push({0, 0, 0, sorted.size(), 0});
  while (!pending.empty()) {
    auto [rank, node, begin, end, depth] = pending.top();
    pending.pop();
    if (begin < end && sorted[begin].first.size() == depth) units_[node].symbol = sorted[begin++].second;
    if (begin == end) continue;
    std::vector<uint8_t> bytes;
    std::vector<Pending> children;
    for (size_t i = begin; i < end; ++i) {
      const uint8_t byte = sorted[i].first[depth];
      if (bytes.empty() || bytes.back() != byte) {
        bytes.push_back(byte);
        children.push_back({kNone, byte, i, i, depth + 1});
      }
      children.back().rank = std::min(children.back().rank, sorted[i].second);
      children.back().end = i + 1;
    }
    const uint32_t base = FindBase(bytes);
    if (base + 256 >= kMaxUnits) return false;
    units_[node].base = base;
    for (Pending& child : children) {
      units_[base + child.node].label = child.node;  // still its byte
      child.node += base;
      pending.push(child);
    }
  }
  base_used_.clear();
  base_used_.shrink_to_fit();
  return true;
}

inline BpeModel::Token BpeModel::Trie::Longest(const char* p, const char* end) const {
  const Unit* const units = units_.data();
  const char* const begin = p;
  Token longest = {kNone, 0};
  uint32_t base = units[0].base;
  while (p != end) {
    const uint32_t byte = static_cast<uint8_t>(*p);
    const Unit unit = units[base + byte];  // a leaf has base 0, which is no node's
    if (unit.label != byte) break;
    ++p;
    base = unit.base;
    if (unit.symbol != kNone) longest = {unit.symbol, static_cast<uint32_t>(p - begin)};
  }
  return longest;
}

absl::StatusOr<BpeModel> BpeModel::Create(const BpeVocabulary& vocabulary) {
  if (vocabulary.merges.size() > kMostMerges) {
    return absl::UnimplementedError(
        absl::StrCat(vocabulary.merges.size(), " merges, but at most ", kMostMerges, " are supported"));
  }
  BpeModel model;
  absl::flat_hash_map<uint32_t, uint32_t> symbols;  // of ids
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!symbols.emplace(vocabulary.byte_ids[byte], byte).second)
      return absl::InvalidArgumentError(absl::StrCat("two bytes have the id ", vocabulary.byte_ids[byte]));
    model.ids_.push_back(vocabulary.byte_ids[byte]);
  }
  for (const BpeVocabulary::Merge& merge : vocabulary.merges) {
    const auto [it, inserted] = symbols.emplace(merge.result, model.ids_.size());
    // Symbol 256 + r also where an earlier merge makes the same token: that number then stays unused.
    model.ids_.push_back(merge.result);
    model.symbol_of_rank_.push_back(it->second);
  }
  std::vector<std::array<uint32_t, 2>> pairs;
  absl::flat_hash_map<uint64_t, size_t> seen;
  for (const BpeVocabulary::Merge& merge : vocabulary.merges) {
    if (const auto [it, inserted] = seen.emplace(Key(merge.left, merge.right), pairs.size()); !inserted)
      return absl::InvalidArgumentError(absl::StrCat("merges ", it->second, " and ", pairs.size(), " are the same"));
    // A part that is no byte and no merge's result never occurs, and then this merge never applies.
    const auto left = symbols.find(merge.left);
    const auto right = symbols.find(merge.right);
    pairs.push_back({left == symbols.end() ? kNone : left->second, right == symbols.end() ? kNone : right->second});
  }
  model.pairs_.Build(pairs);

  bool regular = true;
  for (uint32_t rank = 0; rank < pairs.size() && regular; ++rank) {
    const uint32_t symbol = 256 + rank;
    regular = model.symbol_of_rank_[rank] == symbol && pairs[rank][0] < symbol && pairs[rank][1] < symbol;
  }
  if (regular) {
    for (uint32_t byte = 0; byte < 256; ++byte) model.parts_.push_back({byte, byte});
    model.parts_.insert(model.parts_.end(), pairs.begin(), pairs.end());
    model.BuildFastPath();
  }
  return model;
}

inline bool BpeModel::StayApart(uint32_t left, uint32_t right, uint32_t limit) const {
  while (true) {
    const uint32_t rank = pairs_.Rank(left, right);
    if (rank != kNone && rank + 256 < limit) return false;
    // Undo the later of the two; of equals the right one, since merges go from left to right.
    if (left > right && left >= 256) {
      limit = left;
      left = parts_[left][1];
    } else if (right >= 256) {
      limit = right + 1;
      right = parts_[right][0];
    } else {
      return true;
    }
  }
}

inline bool BpeModel::StayApart(uint32_t left, uint32_t right, Scratch& scratch) const {
  const uint64_t pair = uint64_t{left} << 32 | uint64_t{right} << 1;
  uint64_t& verdict = scratch.verdicts[pair * 0x9E3779B97F4A7C15 >> 50];
  static_assert(Scratch::kVerdicts == size_t{1} << (64 - 50));
  if ((verdict & ~uint64_t{1}) != pair) verdict = pair | StayApart(left, right, kNone);
  return verdict & 1;
}

inline BpeModel::Token BpeModel::Prefix(uint32_t symbol) const {
  const uint32_t prefix = symbols_[symbol].prefix;
  return {prefix, prefix == kNone ? 0 : symbols_[prefix].length};
}

void BpeModel::BuildFastPath() {
  const size_t symbols = parts_.size();
  std::vector<std::string> bytes(symbols);
  std::vector<bool> reachable(symbols, true);
  std::vector<std::pair<std::string, uint32_t>> sorted;
  for (uint32_t symbol = 0; symbol < symbols; ++symbol) {
    const auto [left, right] = parts_[symbol];
    if (symbol < 256) {
      bytes[symbol] = std::string(1, static_cast<char>(symbol));
    } else {
      bytes[symbol] = bytes[left] + bytes[right];
      // Some tokens never come out: with the merges before its own, its bytes do not become its two parts.
      reachable[symbol] = reachable[left] && reachable[right] && StayApart(left, right, symbol);
    }
    symbols_.push_back({static_cast<uint32_t>(bytes[symbol].size()), kNone});
    if (reachable[symbol]) sorted.emplace_back(bytes[symbol], symbol);
  }
  std::sort(sorted.begin(), sorted.end());
  fast_ = trie_.Build(sorted);
  if (!fast_) return;
  for (const auto& [text, symbol] : sorted) {
    if (text.size() > 1) symbols_[symbol].prefix = trie_.Longest(text.data(), text.data() + text.size() - 1).symbol;
  }
  std::vector<std::pair<absl::string_view, absl::string_view>> merges;
  for (uint32_t symbol = 256; symbol < symbols; ++symbol)
    merges.emplace_back(bytes[parts_[symbol][0]], bytes[parts_[symbol][1]]);
  borders_ = CharacterBorders(merges);
}

void BpeModel::AppendIds(absl::string_view piece, Scratch& scratch, IdBuffer& ids) const {
  if (!fast_) {
    const std::vector<uint32_t> merged = MergeBytes(piece);
    std::copy(merged.begin(), merged.end(), ids.Reserve(merged.size()));
    ids.Advance(merged.size());
    return;
  }
  const char* const begin = piece.data();
  const char* const end = begin + piece.size();
  Token next = trie_.Longest(begin, end);
  if (next.length == piece.size()) return ids.push_back(ids_[next.symbol]);

  std::vector<uint32_t>& taken = scratch.symbols;
  std::vector<uint64_t>& dead_ends = scratch.dead_ends;
  taken.clear();
  dead_ends.assign(piece.size() / 64 + 1, 0);
  size_t position = 0;
  uint32_t last_length = 0;
  while (true) {
    const uint32_t last = taken.empty() ? kNone : taken.back();
    while (next.symbol != kNone) {
      const size_t to = position + next.length;
      const bool dead = dead_ends[to / 64] >> (to % 64) & 1;
      if (!dead && (last == kNone || (last_length >= 3 && next.length >= 3 && borders_.IsClosed(begin + position)) ||
                    StayApart(last, next.symbol, scratch))) {
        break;
      }
      next = Prefix(next.symbol);
    }
    if (next.symbol != kNone) {
      taken.push_back(next.symbol);
      position += next.length;
      last_length = next.length;
      if (position == piece.size()) break;
      next = trie_.Longest(begin + position, end);
    } else {
      MILLRACE_CHECK(last != kNone);  // each piece has an encoding
      dead_ends[position / 64] |= uint64_t{1} << (position % 64);
      taken.pop_back();
      position -= symbols_[last].length;
      next = Prefix(last);
      last_length = 0;
    }
  }
  uint32_t* out = ids.Reserve(taken.size());
  for (const uint32_t symbol : taken) *out++ = ids_[symbol];
  ids.Advance(taken.size());
}

std::vector<uint32_t> BpeModel::MergeBytes(absl::string_view piece) const {
  // A symbol of `length` bytes stands at its first byte; at others stands kNone.
  struct Place {
    uint32_t symbol;
    uint32_t previous;  // places; kNone: none
    uint32_t next;
  };
  using Candidate = std::tuple<uint32_t, uint32_t, uint32_t, uint32_t>;  // rank, place, left symbol, right symbol
  std::vector<Place> places(piece.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<Candidate>> candidates;
  const auto consider = [&](uint32_t place) {
    if (place == kNone || places[place].next == kNone) return;
    const uint32_t left = places[place].symbol;
    const uint32_t right = places[places[place].next].symbol;
    const uint32_t rank = pairs_.Rank(left, right);
    if (rank != kNone) candidates.emplace(rank, place, left, right);
  };
  for (uint32_t i = 0; i < piece.size(); ++i) {
    places[i] = {static_cast<uint8_t>(piece[i]), i == 0 ? kNone : i - 1, i + 1 == piece.size() ? kNone : i + 1};
  }
  for (uint32_t i = 0; i < piece.size(); ++i) consider(i);
  while (!candidates.empty()) {
    const auto [rank, place, left, right] = candidates.top();
    candidates.pop();
    Place& here = places[place];
    if (here.symbol != left || here.next == kNone || places[here.next].symbol != right) continue;
    const uint32_t after = places[here.next].next;
    places[here.next].symbol = kNone;
    here.symbol = symbol_of_rank_[rank];
    here.next = after;
    if (after != kNone) places[after].previous = place;
    consider(here.previous);
    consider(place);
  }
  std::vector<uint32_t> ids;
  for (const Place& place : places) {
    if (place.symbol != kNone) ids.push_back(ids_[place.symbol]);
  }
  return ids;
}

}  // namespace millrace::data
