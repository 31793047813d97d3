#include "executor/engine/event_collector.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

StageEvent MetricEvent(const std::string& name, double value, int64_t step = -1) {
  StageEvent event;
  event.mutable_metric()->set_name(name);
  event.mutable_metric()->set_value(value);
  if (step >= 0) event.mutable_metric()->set_step(step);
  return event;
}

TEST(EventCollectorTest, CurvesAreCutAndJoinedByStep) {
  EventCollector collector;
  for (int step = 1; step <= 5; ++step) collector.Add(MetricEvent("loss", 10 - step, step));
  collector.Add(MetricEvent("time.tokens_per_second", 1, 1));
  collector.Add(MetricEvent("loss", 7.5, 3));  // said again: the later value counts
  const CurveList curves = collector.CurvesBetween(2, 4);
  ASSERT_EQ(curves.size(), 1);
  ASSERT_EQ(curves[0].step_size(), 2);
  EXPECT_EQ(curves[0].step(0), 3);
  EXPECT_EQ(curves[0].value(0), 7.5);

  EventCollector later;
  later.AddCurves(curves);
  later.Add(MetricEvent("loss", 1, 9));
  ActionEntry entry;
  later.Fill(entry);
  EXPECT_EQ(entry.curve(0).step(2), 9);
}

TEST(EventCollectorTest, WhatIsKeptIsBounded) {
  EventCollector collector;
  for (int i = 0; i < 1000; ++i) {
    StageEvent example, warning;
    example.mutable_example()->set_group(std::to_string(i % 30));
    collector.Add(example);
    warning.set_warning(std::to_string(i % 60));
    collector.Add(warning);
    collector.Add(MetricEvent("m" + std::to_string(i % 3), i));
  }
  ActionEntry entry;
  collector.Fill(entry);
  EXPECT_EQ(entry.example_size(), 200);
  EXPECT_EQ(entry.warning_size(), 50);
  ASSERT_EQ(entry.metric_size(), 3);
  EXPECT_EQ(entry.metric(0).value(), 999);
}

}  // namespace
}  // namespace millrace
