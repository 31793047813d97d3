#include "executor/observe/series.h"

#include <cmath>

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(SeriesTest, ShortCurvesStayAsTheyAre) {
  const ReducedSeries series = Reduce({{1, 2, 3}, {5, 4, NAN}}, 10);
  EXPECT_FALSE(series.reduced);
  ASSERT_EQ(series.points.size(), 2);
  EXPECT_EQ(series.points[1].mean, 4);
  EXPECT_EQ(series.left_out, 1);
}

TEST(SeriesTest, LongCurvesKeepTheirSpikes) {
  CurveView curve;
  for (int i = 0; i < 100'000; ++i) {
    curve.step.push_back(i);
    curve.value.push_back(i == 41'234 ? 900 : std::sin(i * 0.001));
  }
  const ReducedSeries series = Reduce(curve, 650);
  EXPECT_TRUE(series.reduced);
  EXPECT_LE(series.points.size(), 650);
  EXPECT_GE(series.points.size(), 600);
  EXPECT_EQ(series.original_points, 100'000);
  double greatest = 0;
  for (const SeriesPoint& point : series.points) {
    greatest = std::max(greatest, point.greatest);
    EXPECT_LE(point.least, point.mean);
    EXPECT_LE(point.mean, point.greatest);
  }
  EXPECT_EQ(greatest, 900);
}

TEST(SeriesTest, EmptyAndConstantCurves) {
  EXPECT_TRUE(Reduce({}, 10).points.empty());
  EXPECT_GE(NiceTicks(3, 3, 4).size(), 2);
  EXPECT_GE(NiceTicks(0, 0, 4).size(), 2);
}

TEST(SeriesTest, TicksAreRoundAndCoverTheRange) {
  EXPECT_EQ(NiceTicks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const std::vector<double> ticks = NiceTicks(2.13, 8.71, 4);
  EXPECT_LE(ticks.front(), 2.13);
  EXPECT_GE(ticks.back(), 8.71);
  EXPECT_EQ(TickLabel(0.25, 0.25), "0.25");
  EXPECT_EQ(TickLabel(4, 2), "4");
  EXPECT_EQ(TickLabel(2.5, 0.5), "2.5");
  EXPECT_EQ(TickLabel(0.004, 0.001), "0.004");
  EXPECT_EQ(TickLabel(4e-4, 1e-4), "4.0e-04");
  EXPECT_EQ(TickLabel(16000, 4000), "16 k");
  EXPECT_EQ(TickLabel(2000, 500), "2 000");
}

}  // namespace
}  // namespace millrace
