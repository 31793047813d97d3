// Best-fit-decreasing bin packing with whole-number sizes: how documents share sequences without being cut.
// Reference: Ding et al., "Fewer Truncations Improve Language Modeling" (arXiv:2404.10830), section 3.
#ifndef MILLRACE_DATA_SHARDS_BEST_FIT_H_
#define MILLRACE_DATA_SHARDS_BEST_FIT_H_

#include <cstdint>
#include <vector>

namespace millrace::data {

// Puts items of `sizes` (each from 1 to `capacity`) into bins of `capacity`: largest first, each into the bin with the
// least room that still takes it. Of equal sizes the earlier item comes first; of equal bins the latest opened.
// Returns the bin of each item; bins are numbered from 0 in the order they were opened.
// Time O(n log capacity), memory O(n + capacity).
std::vector<uint32_t> BestFitDecreasing(const std::vector<uint32_t>& sizes, uint32_t capacity, uint32_t* num_bins);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_BEST_FIT_H_
