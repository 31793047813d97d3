#include "base/quantity.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(QuantityTest, Tokens) {
  EXPECT_EQ(*ParseTokens("2T"), 2000000000000);
  EXPECT_EQ(*ParseTokens("2.4M"), 2400000);
  EXPECT_EQ(*ParseTokens("50k"), 50000);
  EXPECT_EQ(*ParseTokens("123456789012345678"), 123456789012345678);
  for (const char* bad : {"", "M", "2.5", "-1", "2 apples", "1e6", "9999999T", "+3"})
    EXPECT_FALSE(ParseTokens(bad).ok()) << bad;
}

TEST(QuantityTest, Bytes) {
  EXPECT_EQ(*ParseBytes("64MiB"), 64 << 20);
  EXPECT_EQ(*ParseBytes("10MB"), 10000000);
  EXPECT_EQ(*ParseBytes("24 GiB"), int64_t{24} << 30);
  EXPECT_FALSE(ParseBytes("64mib").ok());
}

TEST(QuantityTest, Durations) {
  EXPECT_EQ(*ParseDurationSeconds("30m"), 1800);
  EXPECT_EQ(*ParseDurationSeconds("1h30m"), 5400);
  EXPECT_EQ(*ParseDurationSeconds("1.5s"), 1.5);
  EXPECT_EQ(*ParseDurationSeconds("90d"), 90 * 86400);
  EXPECT_FALSE(ParseDurationSeconds("soon").ok());
}

TEST(QuantityTest, Bandwidths) {
  EXPECT_EQ(*ParseBandwidth("10Gbit/s"), 1.25e9);
  EXPECT_EQ(*ParseBandwidth("200GB/s"), 2e11);
  EXPECT_FALSE(ParseBandwidth("fast").ok());
}

TEST(QuantityTest, ErrorsSayWhatIsAccepted) {
  EXPECT_EQ(ParseBytes("64mib").status().message(),
            "\"64mib\" is not a size; accepted: \"64MiB\", \"10MB\", \"200\" (kB, MB, GB, TB; KiB, MiB, GiB, TiB)");
}

TEST(QuantityTest, Formats) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(25.7 * (1 << 30)), "25.7 GiB");
  EXPECT_EQ(FormatCount(930000), "930 k");
  EXPECT_EQ(FormatCount(6910365696), "6.91 B");
  EXPECT_EQ(FormatSeconds(0.04), "40 ms");
  EXPECT_EQ(FormatSeconds(182), "3 min 02 s");
  EXPECT_EQ(FormatSeconds(86400 * 365.25 * 4.4), "4.4 years");
  EXPECT_EQ(FormatGrouped(211928), "211 928");
  EXPECT_EQ(FormatGrouped(-1000), "-1 000");
  EXPECT_EQ(FormatGrouped(12), "12");
}

}  // namespace
}  // namespace millrace
