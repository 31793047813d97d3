// torch.randperm, number for number.
#ifndef MILLRACE_DATA_SHARDS_RANDPERM_H_
#define MILLRACE_DATA_SHARDS_RANDPERM_H_

#include <cstdint>
#include <vector>

namespace millrace::data {

// The same values as torch.randperm(n, generator=torch.Generator().manual_seed(seed)) on the CPU (int64). Of the seed
// only the low 32 bits count, as in PyTorch's Mersenne Twister (MT19937, Matsumoto and Nishimura 1998).
// Time and memory O(n).
std::vector<int64_t> Randperm(int64_t n, uint64_t seed);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_RANDPERM_H_
