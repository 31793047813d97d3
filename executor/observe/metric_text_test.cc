#include "executor/observe/metric_text.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(MetricTextTest, TheNameTellsTheUnit) {
  struct Row {
    const char* name;
    double value;
    const char* text;
  };
  for (const Row& row : {
           Row{"documents", 3117, "3 117"},
           Row{"text_bytes", 16.2 * 1048576, "16.2 MiB"},
           Row{"documents_kept_fraction", 0.8612, "86.1 %"},
           Row{"bits_per_byte", 2.0384, "2.038"},
           Row{"bits_per_byte.source_1", 2.119, "2.119"},
           Row{"time.wall_seconds", 182, "3 min 02 s"},
           Row{"loss", 4.71234, "4.712"},
           Row{"learning_rate", 0.004, "0.004"},
           Row{"loss", 0.0 / 0.0, "not a number"},
       }) {
    EXPECT_EQ(FormatMetric(row.name, row.value), row.text) << row.name;
  }
}

TEST(MetricTextTest, LabelsAndClocks) {
  EXPECT_EQ(MetricLabel("learning_rate"), "learning rate");
  EXPECT_EQ(MetricLabel("time.tokens_per_second"), "tokens per second");
  EXPECT_EQ(MetricLabel("bits_per_byte.source_2"), "bits per byte");
  EXPECT_EQ(MetricLabel("documents_dropped.size"), "documents dropped: size");
  EXPECT_EQ(FormatClock(61.4), "1:01");
  EXPECT_EQ(FormatClock(3661), "1:01:01");
  EXPECT_EQ(FormatClock(-1), "0:00");
}

TEST(MetricTextTest, SourceMetrics) {
  std::string base;
  int ordinal;
  EXPECT_TRUE(SplitSourceMetric("bits_per_byte.source_12", base, ordinal));
  EXPECT_EQ(base, "bits_per_byte");
  EXPECT_EQ(ordinal, 12);
  EXPECT_FALSE(SplitSourceMetric("bits_per_byte", base, ordinal));
  EXPECT_FALSE(SplitSourceMetric("bits_per_byte.source_x", base, ordinal));

  StageView stage;
  stage.info.add_source("web_en");
  stage.info.add_source("web_zh");
  stage.metrics = {{"a", 1}, {"a.source_0", 2}, {"a.source_1", 3}, {"b.source_1", 4}, {"a.source_7", 5}, {"c", 6}};
  const SourceTable table = SourceTableOf(stage);
  EXPECT_EQ(table.column, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(table.row.size(), 4);
  EXPECT_EQ(table.row[0].source, "web_en");
  EXPECT_FALSE(table.row[0].value[1]);
  EXPECT_EQ(*table.row[1].value[1], 4);
  EXPECT_EQ(table.row[2].source, "source 7");
  EXPECT_EQ(table.row[3].source, "");
  EXPECT_EQ(*table.row[3].value[0], 1);
}

TEST(MetricTextTest, HeadlineFallsBackToAnyMetrics) {
  StageView stage;
  stage.info.set_kind("custom");
  stage.metrics = {{"words", 12345}, {"time.wall_seconds", 3}, {"text_bytes", 2048}};
  EXPECT_EQ(StageHeadline(stage), "text bytes 2 KiB, words 12 345");
}

}  // namespace
}  // namespace millrace
