#include "trainer/model/initialize.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

TEST(InverseNormal, KnownValues) {
  const struct {
    double probability, value;
  } rows[] = {{0.5, 0},
              {0.25, -0.67448975019608174320},
              {0.001, -3.0902323061678135415},
              {1e-20, -9.262340089798408},
              {0.975, 1.9599639845400542355},
              {0.0001, -3.7190164854556805}};
  for (const auto& row : rows) {
    EXPECT_NEAR(InverseNormal(row.probability), row.value, 1e-14 * std::max(1.0, std::fabs(row.value))) << row.value;
  }
}

TEST(CounterRandom, SeedNameAndIndexMatter) {
  const CounterRandom random(1, "a");
  EXPECT_EQ(random.Bits(5), CounterRandom(1, "a").Bits(5));
  EXPECT_NE(random.Bits(5), random.Bits(6));
  EXPECT_NE(random.Bits(5), CounterRandom(2, "a").Bits(5));
  EXPECT_NE(random.Bits(5), CounterRandom(uint64_t{1} << 32 | 1, "a").Bits(5));
  EXPECT_NE(random.Bits(5), CounterRandom(1, "b").Bits(5));
}

TEST(FillNormal, MomentsAndRanges) {
  constexpr int64_t kCount = 200000;
  std::vector<float> values(kCount);
  FillNormal(7, "model.layers.0.mlp.up_proj.weight", 0.02, 0, kCount, values.data());
  double sum = 0, squares = 0, fourth = 0;
  for (float v : values) {
    const double z = v / 0.02;
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.01);
  EXPECT_NEAR(squares / kCount, 1, 0.01);
  EXPECT_NEAR(fourth / kCount, 3, 0.1);
  // A part is the same as that part of the whole.
  std::vector<float> part(1000);
  FillNormal(7, "model.layers.0.mlp.up_proj.weight", 0.02, 12345, 1000, part.data());
  EXPECT_EQ(std::memcmp(part.data(), values.data() + 12345, 1000 * sizeof(float)), 0);
}

// What every later version must still give: a change here changes every model.
TEST(FillNormal, Golden) {
  float values[4];
  FillNormal(1, "model.embed_tokens.weight", 1, 0, 4, values);
  EXPECT_EQ(CounterRandom(1, "model.embed_tokens.weight").Bits(0), 2602526008767701146u);
  EXPECT_EQ(values[0], -0x1.1351b2p+0f);
  EXPECT_EQ(values[1], 0x1.6ab914p-1f);
}

}  // namespace
}  // namespace millrace::trainer
