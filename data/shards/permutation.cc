#include "data/shards/permutation.h"

#include <bit>

#include "base/check.h"

namespace millrace::data {
namespace {

// SplitMix64 (Steele, Lea and Flood 2014): one step of the sequence, then its finalizer.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

}  // namespace

Permutation::Permutation(uint64_t n, uint64_t key) : n_(n), key_(key) {
  MILLRACE_CHECK(n >= 1 && n <= uint64_t{1} << 62);
  const int bits = std::bit_width(n - 1);
  half_bits_ = bits <= 8 ? 4 : (bits + 1) / 2;
}

uint64_t Permutation::operator()(uint64_t index) const {
  MILLRACE_CHECK(index < n_);
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_, right = index & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      const uint64_t next = left ^ (Mix(key_ ^ Mix(round << 56 | right)) & mask);
      left = right;
      right = next;
    }
    index = left << half_bits_ | right;
  } while (index >= n_);
  return index;
}

uint64_t PermutationKey(uint64_t seed, uint64_t a, uint64_t b) { return Mix(Mix(Mix(seed) ^ a) ^ b); }

}  // namespace millrace::data
