// Disjoint sets (Tarjan 1975), with the smallest member as a set's root, so that the result does not depend on the
// order of unions. 4 bytes a member. Not thread-safe, but RootOf is once Flatten has been called and until the next
// Union.
#ifndef MILLRACE_DATA_DEDUP_UNION_FIND_H_
#define MILLRACE_DATA_DEDUP_UNION_FIND_H_

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace millrace::data {

class UnionFind {
 public:
  explicit UnionFind(uint32_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0u); }

  uint32_t size() const { return parent_.size(); }

  uint32_t Find(uint32_t x) {
    while (parent_[x] != x) x = parent_[x] = parent_[parent_[x]];
    return x;
  }

  // False if they were together already.
  bool Union(uint32_t a, uint32_t b) {
    a = Find(a);
    b = Find(b);
    if (a == b) return false;
    if (b < a) std::swap(a, b);
    parent_[b] = a;
    return true;
  }

  // Makes every member point at its root.
  void Flatten() {
    for (uint32_t x = 0; x < parent_.size(); ++x) parent_[x] = parent_[parent_[x]];  // a parent is smaller than x
  }
  uint32_t RootOf(uint32_t x) const { return parent_[x]; }

 private:
  std::vector<uint32_t> parent_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_DEDUP_UNION_FIND_H_
