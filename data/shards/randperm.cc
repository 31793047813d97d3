// Behaviour matched: PyTorch's CPU randperm, a Fisher-Yates shuffle that swaps each place with one at or after it.
// Small n draw 32 bits a place; from 2^32 / 20 on, where a 32-bit remainder would be uneven, 64 bits (two draws, high
// first).
#include "data/shards/randperm.h"

#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace millrace::data {

std::vector<int64_t> Randperm(int64_t n, uint64_t seed) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 engine(static_cast<uint32_t>(seed));
  const bool wide = n >= std::numeric_limits<uint32_t>::max() / 20;
  for (int64_t i = 0; i + 1 < n; ++i) {
    uint64_t draw = engine();
    if (wide) draw = draw << 32 | engine();
    std::swap(order[i], order[i + draw % (n - i)]);
  }
  return order;
}

}  // namespace millrace::data
