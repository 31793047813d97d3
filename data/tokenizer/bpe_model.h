// A byte-pair vocabulary, and the merges of a piece of text.
//
// Two ways to the same ids. MergeBytes follows the definition: apply the merge of lowest rank, leftmost first, until
// none applies (a heap; O(n log n)). AppendIds is the fast one: it takes tokens from left to right and checks each
// neighbour pair; linear time on any input. See bpe_model.cc.
#ifndef MILLRACE_DATA_TOKENIZER_BPE_MODEL_H_
#define MILLRACE_DATA_TOKENIZER_BPE_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/tokenizer/character_borders.h"
#include "data/tokenizer/pair_filter.h"

namespace millrace::data {

// What a vocabulary is made of.
struct BpeVocabulary {
  struct Merge {
    uint32_t left;
    uint32_t right;
    uint32_t result;
    friend bool operator==(const Merge&, const Merge&) = default;
  };
  std::array<uint32_t, 256> byte_ids = {};  // the id of each single byte
  std::vector<Merge> merges;                // in order of rank; no pair twice
};

// Ids that a piece can become, in memory that is reused. Not thread-safe.
class IdBuffer {
 public:
  const uint32_t* data() const { return ids_.get(); }
  size_t size() const { return size_; }
  void clear() { size_ = 0; }
  // A place for up to `count` more ids; then Advance.
  uint32_t* Reserve(size_t count) {
    if (size_ + count > capacity_) [[unlikely]]
      Grow(count);
    return ids_.get() + size_;
  }
  void Advance(size_t count) { size_ += count; }
  void push_back(uint32_t id) {
    *Reserve(1) = id;
    Advance(1);
  }

 private:
  void Grow(size_t count);

  std::unique_ptr<uint32_t[]> ids_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Immutable; thread-safe.
class BpeModel {
 public:
  // InvalidArgument: a pair twice, or two bytes with one id. Unimplemented: 2 million merges or more.
  static absl::StatusOr<BpeModel> Create(const BpeVocabulary& vocabulary);

  // Scratch space of one thread.
  class Scratch {
   private:
    friend class BpeModel;
    static constexpr size_t kVerdicts = 1 << 14;
    std::vector<uint32_t> symbols;
    std::vector<uint64_t> dead_ends;  // a bit for each position of the piece
    // What StayApart said of the pair left * 2^32 + right * 2 (+ 1: yes), at a place that the pair's hash gives.
    std::vector<uint64_t> verdicts = std::vector<uint64_t>(kVerdicts, ~uint64_t{0});
  };

  // Appends the ids of `piece`, which is not empty.
  void AppendIds(absl::string_view piece, Scratch& scratch, IdBuffer& ids) const;

  // The ids of `piece` by the definition.
  std::vector<uint32_t> MergeBytes(absl::string_view piece) const;

 private:
  // Symbols number the tokens that can occur in order of rank: a byte is itself, the result of merge r is 256 + r (of
  // the first such merge, where there are several).
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  // Pair of symbols -> rank. Open addressing, with a small filter before it: most pairs that are asked for have none.
  class PairTable {
   public:
    void Build(const std::vector<std::array<uint32_t, 2>>& pairs);
    uint32_t Rank(uint32_t left, uint32_t right) const;

   private:
    std::vector<uint64_t> slots_;  // left, right and rank, in kSymbolBits, kSymbolBits and the rest
    uint64_t mask_ = 0;
    PairFilter filter_;
  };

  // A symbol at a place of the text.
  struct Token {
    uint32_t symbol;
    uint32_t length;  // bytes
  };

  // The tokens as a double-array trie. A unit is one node: the byte that leads to it (kNoLabel: no node), its base,
  // which no other node has (0: it has no children), and the symbol that ends here, or kNone. The child by byte b is
  // the unit base + b, if b leads to that one.
  class Trie {
   public:
    // `sorted` is in byte order. False: there are too many nodes.
    bool Build(const std::vector<std::pair<std::string, uint32_t>>& sorted);
    // The longest symbol that `p` begins with, or kNone.
    Token Longest(const char* p, const char* end) const;

   private:
    static constexpr uint32_t kNoLabel = 0x100;
    static constexpr int kBaseBits = 23;
    static constexpr size_t kMaxUnits = size_t{1} << kBaseBits;
    struct Unit {
      uint32_t label : 9;
      uint32_t base : kBaseBits;
      uint32_t symbol;
    };

    uint32_t FindBase(const std::vector<uint8_t>& bytes);

    std::vector<Unit> units_;
    std::vector<bool> base_used_;
    uint32_t first_free_ = 1;
  };

  // What the fast path asks of a symbol.
  struct Symbol {
    uint32_t length;  // bytes
    uint32_t prefix;  // the longest symbol that it begins with, or kNone
  };

  void BuildFastPath();
  // The longest symbol that `symbol` begins with.
  Token Prefix(uint32_t symbol) const;
  // Whether `left` and `right` stay apart: no merge of a symbol below `limit` ever joins their parts.
  bool StayApart(uint32_t left, uint32_t right, uint32_t limit) const;
  // The same without a limit, with a memory of the last answers.
  bool StayApart(uint32_t left, uint32_t right, Scratch& scratch) const;

  PairTable pairs_;
  std::vector<uint32_t> symbol_of_rank_;  // rank -> symbol of the result
  std::vector<uint32_t> ids_;             // symbol -> id
  // Only where each token has one merge, whose parts come before it. Else AppendIds is MergeBytes.
  bool fast_ = false;
  std::vector<std::array<uint32_t, 2>> parts_;  // symbol -> the two that it was merged from; a byte: itself twice
  std::vector<Symbol> symbols_;
  Trie trie_;
  CharacterBorders borders_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_BPE_MODEL_H_
