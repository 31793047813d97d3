#include "trainer/eval/gates.h"

#include <gtest/gtest.h>

#include <string>

#include "google/protobuf/text_format.h"

namespace millrace::trainer {
namespace {

absl::Status Check(const std::string& text, const Metrics& metrics) {
  Evaluate parameters;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &parameters)) << text;
  return CheckGates(parameters, metrics);
}

const Metrics kMetrics = {{"bits_per_byte", 2.5}, {"bits_per_byte.source_1", 3}, {"loss", 4}};

TEST(GatesTest, Hold) {
  for (const char* text : {"", "gate { metric: 'loss' }", "gate { metric: 'loss' min: 4 max: 4 }",
                           "gate { metric: 'loss' max: 5 } gate { metric: 'bits_per_byte.source_1' min: 2 }"}) {
    EXPECT_TRUE(Check(text, kMetrics).ok()) << text;
  }
}

struct Row {
  const char* text;
  const char* message;
};

TEST(GatesTest, Fail) {
  for (const Row& row : {
           Row{"gate { metric: 'loss' max: 3.9 because: 'it learned' }",
               "gate \"loss\" does not hold: 4 is above its max 3.9 (it learned)"},
           Row{"gate { metric: 'loss' min: 4.5 max: 5 }", "gate \"loss\" does not hold: 4 is below its min 4.5"},
           Row{"gate { metric: 'loss' max: 3 } gate { metric: 'bits_per_byte' max: 9 } gate { metric: "
               "'bits_per_byte.source_1' max: 2.75 }",
               "gate \"loss\" does not hold: 4 is above its max 3; "
               "gate \"bits_per_byte.source_1\" does not hold: 3 is above its max 2.75"},
       }) {
    const absl::Status status = Check(row.text, kMetrics);
    EXPECT_EQ(status.message(), row.message);
    EXPECT_TRUE(status.GetPayload("millrace/gate_failed").has_value()) << row.text;
  }
}

TEST(GatesTest, NoSuchMetric) {
  for (const Row& row : {
           Row{"gate { metric: 'bit_per_byte' max: 3 }", "fix: metric: \"bits_per_byte\""},
           Row{"gate { metric: 'bits_per_byte_over_gzip' max: 1 }", "gzip_baseline: true"},
           Row{"gate { metric: 'loss' max: 1 } gate { metric: 'accuracy' min: 1 }",
               "why: there are bits_per_byte, loss, and most with .source_N"},
       }) {
    const absl::Status status = Check(row.text, kMetrics);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_NE(status.message().find(row.message), absl::string_view::npos) << status.message();
    EXPECT_FALSE(status.GetPayload("millrace/gate_failed").has_value());
  }
  EXPECT_NE(Check("gate { metric: 'loss' max: 1 }", {}).message().find("nothing was measured"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace millrace::trainer
