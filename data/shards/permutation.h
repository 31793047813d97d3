// A seeded permutation of [0, n) whose values are computed one at a time, without a table.
#ifndef MILLRACE_DATA_SHARDS_PERMUTATION_H_
#define MILLRACE_DATA_SHARDS_PERMUTATION_H_

#include <cstdint>

namespace millrace::data {

// A balanced Feistel network of six rounds over the smallest 2^(2b) >= n (b at least 4), whose round function is the
// finalizer of SplitMix64 over (key, round, half); a value outside [0, n) is put through the network again until it is
// inside (cycle walking: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Good enough to shuffle
// data; not a cipher. Four evaluations at most on average for n >= 64. Thread-safe.
class Permutation {
 public:
  // n at least 1.
  Permutation(uint64_t n, uint64_t key);
  uint64_t operator()(uint64_t index) const;  // index < n

 private:
  uint64_t n_;
  uint64_t key_;
  int half_bits_;
};

// A key from a seed and two numbers ("component 2, epoch 5").
uint64_t PermutationKey(uint64_t seed, uint64_t a, uint64_t b);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_PERMUTATION_H_
