#include "trainer/eval/metrics.h"

#include <gtest/gtest.h>

#include <numbers>

namespace millrace::trainer {
namespace {

Likelihood Bits(double bits, int64_t bytes) { return {1, 10, bytes, bits * std::numbers::ln2}; }

TEST(MetricsTest, OverGzipIsTheWorstOfAll) {
  LikelihoodBySource likelihood;
  likelihood.source[0] = Bits(100, 100);  // 1 bit per byte
  likelihood.source[2] = Bits(60, 20);    // 3
  likelihood.source[3] = Bits(7, 0);      // an empty document
  likelihood.all = Bits(167, 120);
  GzipBySource gzip;
  gzip.source[0] = {100, 25, 20};  // 2 and 1.6
  gzip.source[2] = {20, 10, 12};   // 4 and 4.8
  gzip.source[3] = {0, 2, 2};
  gzip.all = {120, 37, 34};
  Metrics metrics;
  AddLikelihood(likelihood, metrics);
  EXPECT_EQ(metrics.count("bits_per_byte_over_gzip"), 0);
  AddGzipBaseline(gzip, likelihood, metrics);
  EXPECT_DOUBLE_EQ(metrics.at("bits_per_byte.source_0"), 1);
  EXPECT_EQ(metrics.count("bits_per_byte.source_3"), 0);
  EXPECT_EQ(metrics.count("gzip_bits_per_byte_concatenated.source_3"), 0);
  EXPECT_DOUBLE_EQ(metrics.at("gzip_bits_per_byte_per_document.source_2"), 4);
  EXPECT_DOUBLE_EQ(metrics.at("gzip_bits_per_byte_concatenated.source_0"), 1.6);
  EXPECT_DOUBLE_EQ(metrics.at("bits_per_byte_over_gzip"), 3.0 / 4);  // of source 2, per document
  EXPECT_EQ(metrics.at("documents.source_3"), 1);
}

TEST(MetricsTest, Json) {
  EXPECT_EQ(MetricsJson({{"tokens", 12345678}, {"loss", 0.1}, {"perplexity", 1e20}}, {{"say \"x\"", "你好\n"}}, "rule"),
            R"({
  "metrics": {
    "loss": 0.1,
    "perplexity": 1e+20,
    "tokens": 12345678
  },
  "samples": [
    {
      "prompt": "say \"x\"",
      "text": "你好\n"
    }
  ],
  "window": "rule"
}
)");
  EXPECT_EQ(MetricsJson({}, {}, ""), "{\n  \"metrics\": {},\n  \"samples\": []\n}\n");
}

TEST(MetricsTest, NothingHeldOut) {
  Metrics metrics;
  AddLikelihood({}, metrics);
  AddGzipBaseline({}, {}, metrics);
  EXPECT_EQ(metrics, (Metrics{{"documents", 0}, {"tokens", 0}, {"bytes", 0}}));
}

}  // namespace
}  // namespace millrace::trainer
