#include "data/shards/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace millrace::data {
namespace {

TEST(PermutationTest, TakesEachValueOnce) {
  for (const uint64_t n : {1, 2, 3, 5, 16, 17, 255, 256, 257, 1000, 4097, 65536, 100000}) {
    std::vector<bool> seen(n, false);
    const Permutation permutation(n, 42);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t value = permutation(i);
      ASSERT_LT(value, n);
      ASSERT_FALSE(seen[value]) << n;
      seen[value] = true;
    }
  }
}

// These are part of what a mixture is: a change of them changes every mixture.
TEST(PermutationTest, IsFixedForever) {
  const Permutation permutation(1000, PermutationKey(42, 2, 5));
  std::vector<uint64_t> first;
  for (uint64_t i = 0; i < 6; ++i) first.push_back(permutation(i));
  EXPECT_EQ(first, (std::vector<uint64_t>{437, 957, 426, 946, 704, 899}));
}

TEST(PermutationTest, KeysDiffer) {
  const Permutation a(1000, PermutationKey(42, 0, 0)), b(1000, PermutationKey(42, 0, 1)),
      c(1000, PermutationKey(42, 1, 0));
  int same = 0;
  for (uint64_t i = 0; i < 1000; ++i) same += (a(i) == b(i)) + (a(i) == c(i)) + (b(i) == c(i));
  EXPECT_LT(same, 20);  // 3 expected
}

// Over many keys each value comes first about equally often.
TEST(PermutationTest, FirstPlaceIsUniform) {
  constexpr int kValues = 7, kKeys = 70000;
  int counts[kValues] = {};
  for (uint64_t key = 0; key < kKeys; ++key) ++counts[Permutation(kValues, PermutationKey(key, 0, 0))(0)];
  double chi_squared = 0;
  for (const int count : counts) chi_squared += std::pow(count - kKeys / kValues, 2) / (kKeys / kValues);
  EXPECT_LT(chi_squared, 22.5);  // 0.1 % for 6 degrees of freedom
}

TEST(PermutationTest, NeighboursDoNotStayTogether) {
  const uint64_t n = 50000;
  const Permutation permutation(n, 9);
  int neighbours = 0;
  for (uint64_t i = 0; i + 1 < n; ++i) neighbours += permutation(i) + 1 == permutation(i + 1);
  EXPECT_LT(neighbours, 8);  // 1 expected
}

}  // namespace
}  // namespace millrace::data
