#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace millrace {
namespace {

TEST(ParallelForTest, CallsEachIndexOnce) {
  for (int threads : {1, 2, 7}) {
    for (int64_t count : {0, 1, 5, 1000}) {
      std::vector<std::atomic<int>> calls(count);
      ParallelFor(threads, count, [&](int64_t i) { ++calls[i]; });
      for (int64_t i = 0; i < count; ++i) EXPECT_EQ(calls[i], 1) << i;
    }
  }
}

}  // namespace
}  // namespace millrace
