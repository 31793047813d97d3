// The vector code against plain arithmetic, on random values of all magnitudes.
#include "trainer/runtime/fixed_point.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

std::vector<float> RandomGradients(std::mt19937& random, int64_t count, double largest_exponent) {
  std::uniform_real_distribution<double> exponent(-50, largest_exponent), sign(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(std::copysign(std::exp2(exponent(random)), sign(random)));
  return values;
}

TEST(FixedPointTest, AgreesWithPlainArithmetic) {
  std::mt19937 random(7);
  for (const int64_t count : {0, 1, 3, 4, 5, 100, 2048, 5003}) {
    for (const double largest : {0.0, 10.5, 21.0}) {
      const std::vector<float> gradients = RandomGradients(random, count, largest);
      std::vector<int64_t> sum(count, 12345), expected = sum;
      for (const bool overwrite : {true, false, false}) {
        EXPECT_TRUE(AccumulateGradient(count, gradients.data(), GradientLimit(1), overwrite, sum.data()));
        for (int64_t i = 0; i < count; ++i)
          expected[i] = (overwrite ? 0 : expected[i]) + std::llrint(gradients[i] * kGradientScale);
      }
      EXPECT_EQ(sum, expected);
    }
  }
}

TEST(FixedPointTest, TiesGoToEven) {
  const float half_unit = static_cast<float>(0.5 / kGradientScale);
  const std::vector<float> gradients = {half_unit, 3 * half_unit, -half_unit, -3 * half_unit, 5 * half_unit};
  std::vector<int64_t> sum(5);
  ASSERT_TRUE(AccumulateGradient(5, gradients.data(), 1, true, sum.data()));
  EXPECT_EQ(sum, (std::vector<int64_t>{0, 2, 0, -2, 2}));
}

TEST(FixedPointTest, AnyOrderGivesTheSameSum) {
  std::mt19937 random(11);
  constexpr int64_t kCount = 1000, kLeaves = 12;
  std::vector<std::vector<float>> leaves;
  for (int i = 0; i < kLeaves; ++i) leaves.push_back(RandomGradients(random, kCount, 15));
  std::vector<int64_t> first;
  for (int trial = 0; trial < 5; ++trial) {
    std::vector<int64_t> sum(kCount);
    for (const auto& leaf : leaves)
      ASSERT_TRUE(AccumulateGradient(kCount, leaf.data(), GradientLimit(kLeaves), false, sum.data()));
    if (trial == 0) first = sum;
    EXPECT_EQ(sum, first);
    std::shuffle(leaves.begin(), leaves.end(), random);
  }
}

TEST(FixedPointTest, DetectsWhatIsOutOfRange) {
  EXPECT_EQ(GradientLimit(1), 2097152.0f);
  EXPECT_EQ(GradientLimit(2), 1048576.0f);
  EXPECT_EQ(GradientLimit(3), 524288.0f);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::nanf(""), 3e6f, -3e6f}) {
    for (const int64_t at : {0, 5, 4097, 4099}) {
      std::vector<float> gradients(4100, 1e-3f);
      gradients[at] = bad;
      std::vector<int64_t> sum(4100);
      EXPECT_FALSE(AccumulateGradient(4100, gradients.data(), GradientLimit(1), true, sum.data())) << bad << " " << at;
    }
  }
  // The largest sum of 2304 leaves whose tensor two blocks share does not wrap around.
  EXPECT_LT(2 * 2304 * static_cast<double>(GradientLimit(2304)) * kGradientScale, std::exp2(63));
}

TEST(FixedPointTest, BackToFloat) {
  std::mt19937_64 random(13);
  std::vector<int64_t> sum;
  for (int shift = 0; shift < 64; ++shift) {
    for (int i = 0; i < 50; ++i) sum.push_back(static_cast<int64_t>(random()) >> shift);
  }
  sum.insert(sum.end(), {0, 1, -1, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()});
  const double scale = 1 / kGradientScale / 3;
  std::vector<float> expected(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) expected[i] = static_cast<float>(static_cast<double>(sum[i]) * scale);
  std::vector<float> out(sum.size());
  ToFloat(sum.size(), sum.data(), scale, out.data());
  EXPECT_EQ(out, expected);
  // In place.
  float* in_place = reinterpret_cast<float*>(sum.data());
  ToFloat(sum.size(), sum.data(), scale, in_place);
  EXPECT_EQ(std::vector<float>(in_place, in_place + sum.size()), expected);
}

}  // namespace
}  // namespace millrace::trainer
