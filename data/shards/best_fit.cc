#include "data/shards/best_fit.h"

#include <set>

#include "base/check.h"

namespace millrace::data {

std::vector<uint32_t> BestFitDecreasing(const std::vector<uint32_t>& sizes, uint32_t capacity, uint32_t* num_bins) {
  // Items by size, descending, by counting: first_of[s] is where the items of size s begin.
  std::vector<uint64_t> first_of(size_t{capacity} + 2, 0);
  for (const uint32_t size : sizes) {
    MILLRACE_CHECK(size >= 1 && size <= capacity);
    ++first_of[size];
  }
  uint64_t first = 0;
  for (int64_t size = capacity; size >= 0; --size) {
    const uint64_t count = first_of[size];
    first_of[size] = first;
    first += count;
  }
  std::vector<uint32_t> order(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) order[first_of[sizes[i]]++] = i;

  // bins_with[r] heads a list of the bins with room r; `rooms` has each r > 0 whose list is not empty.
  constexpr uint32_t kNone = 0xFFFFFFFF;
  std::vector<uint32_t> bins_with(size_t{capacity} + 1, kNone);
  std::vector<uint32_t> next;  // of each bin, in its list
  std::set<uint32_t> rooms;
  std::vector<uint32_t> bin_of(sizes.size());
  for (const uint32_t item : order) {
    const uint32_t size = sizes[item];
    uint32_t bin, room;
    if (const auto best = rooms.lower_bound(size); best != rooms.end()) {
      room = *best;
      bin = bins_with[room];
      bins_with[room] = next[bin];
      if (bins_with[room] == kNone) rooms.erase(best);
    } else {
      room = capacity;
      bin = next.size();
      next.push_back(kNone);
    }
    bin_of[item] = bin;
    room -= size;
    if (room == 0) continue;
    if (bins_with[room] == kNone) rooms.insert(room);
    next[bin] = bins_with[room];
    bins_with[room] = bin;
  }
  *num_bins = next.size();
  return bin_of;
}

}  // namespace millrace::data
