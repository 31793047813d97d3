// A Bloom filter for pairs ("Space/Time Trade-offs in Hash Coding with Allowable Errors", Burton H. Bloom, 1970), two
// bits of one word for each: what it does not hold is known after one look into a small table. About one pair in a
// hundred is taken for one that was added.
#ifndef MILLRACE_DATA_TOKENIZER_PAIR_FILTER_H_
#define MILLRACE_DATA_TOKENIZER_PAIR_FILTER_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace millrace::data {

// Thread-safe once filled.
class PairFilter {
 public:
  // Room for `pairs`: 2 to 4 bytes each.
  explicit PairFilter(size_t pairs = 0) {
    const int bits = std::bit_width(std::max<size_t>(pairs / 4, 1));
    words_.assign(size_t{1} << bits, 0);
    shift_ = 64 - bits;
  }

  static uint64_t Hash(uint32_t left, uint32_t right) {
    uint64_t key = uint64_t{left} << 32 | right;
    key = (key ^ key >> 29) * 0x9E3779B97F4A7C15;
    return key ^ key >> 32;
  }

  void Add(uint64_t hash) { words_[hash >> shift_] |= Bits(hash); }
  // False: the pair with this hash was not added.
  bool MayHold(uint64_t hash) const {
    const uint64_t bits = Bits(hash);
    return (words_[hash >> shift_] & bits) == bits;
  }

 private:
  static uint64_t Bits(uint64_t hash) { return uint64_t{1} << (hash & 63) | uint64_t{1} << (hash >> 6 & 63); }

  std::vector<uint64_t> words_;
  int shift_ = 0;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_PAIR_FILTER_H_
