#include "executor/observe/progress_view.h"

#include "absl/strings/str_join.h"
#include "executor/observe/display_width.h"
#include "executor/observe/sample_run.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

// web_en is cached, unique is done, tokenizer runs without saying how far it is, pretrain is under way.
RunModel InTheMiddle() {
  RunModel model;
  for (const RunEvent& event : {
           SampleStarted(),
           SampleComplete(0.1, "web_en", CACHED, {{"documents", 2600}}, 0.4),
           SampleState(0.2, "unique", RUNNING),
           SampleComplete(2.1, "unique", COMPLETE,
                          {{"documents_kept", 2684}, {"exact_duplicates", 401}, {"near_duplicates", 32}}, 1.9),
           SampleState(3, "tokenizer", RUNNING),
           SampleState(6, "pretrain", RUNNING),
           SampleProgress(60, "pretrain", 820, 2363, "steps", "loss 4.02  lr 4.00e-3"),
           SampleMetric(62, "pretrain", "time.tokens_per_second", 16104, 1400),
           SampleProgress(75, "pretrain", 1420, 2363, "steps", "loss 3.71  lr 4.00e-3"),
       }) {
    model.Apply(event);
  }
  return model;
}

std::string Frame(int width, bool color = false, bool utf8 = true, int rows = 24) {
  ViewOptions options;
  options.width = width;
  options.color = color;
  options.utf8 = utf8;
  options.rows = rows;
  return absl::StrJoin(FrameLines(InTheMiddle(), kSampleStartMicros + 76'000'000, options), "\n");
}

TEST(ProgressViewTest, FramesAtUsualWidths) {
  EXPECT_EQ(Frame(120),
            "  tokenizer  1:13\n"
            "  pretrain   [############--------]  1 420/2 363 steps  loss 3.71  lr 4.00e-3  16 100 tok/s  ETA 0:24\n"
            "  2 of 7 done, 1 cached, 2 running, 3 waiting   1:16");
  EXPECT_EQ(Frame(80),
            "  tokenizer  1:13\n"
            "  pretrain   [############--------]  1 420/2 363 steps  loss 3.71  ETA 0:24\n"
            "  2 of 7 done, 1 cached, 2 running, 3 waiting   1:16");
  EXPECT_EQ(Frame(40),
            "  tokenizer  1:13\n"
            "  pretrain   1 420/2 363 steps\n"
            "  2 of 7 done, 1 cached   1:16");
  EXPECT_EQ(Frame(20),
            "  tokenizer  1:13\n"
            "  pretrain\n"
            "  2 of 7 done   1:16");
}

TEST(ProgressViewTest, NoLineIsWiderThanTheTerminal) {
  for (int width = 1; width <= 140; ++width) {
    ViewOptions options;
    options.width = width;
    for (const std::string& line : FrameLines(InTheMiddle(), kSampleStartMicros + 76'000'000, options)) {
      EXPECT_LE(DisplayWidth(line), std::max(3, width)) << line;
    }
  }
}

TEST(ProgressViewTest, ColorAddsNothingButColor) {
  const std::string colored = Frame(120, /*color=*/true);
  EXPECT_NE(colored.find("\x1b[32m[####"), std::string::npos);
  EXPECT_EQ(Printable(colored.substr(0, colored.find('\n'))), "  tokenizer  1:13");
  EXPECT_EQ(Frame(20, false, /*utf8=*/false).find("…"), std::string::npos);
}

TEST(ProgressViewTest, ManyRunningStagesAreCutToAThirdOfTheScreen) {
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) names.push_back("stage_" + std::to_string(i));
  RunModel model;
  model.Apply(SampleStarted(names));
  for (int i = 0; i < 40; ++i) model.Apply(SampleState(40 - i, names[i], RUNNING));
  ViewOptions options;
  options.rows = 24;
  const std::vector<std::string> lines = FrameLines(model, kSampleStartMicros + 50'000'000, options);
  ASSERT_EQ(lines.size(), 8);
  EXPECT_EQ(lines[0], "  stage_39  0:49") << "the longest running first";
  EXPECT_EQ(lines[7], "  0 of 40 done, 40 running (33 not shown)   0:50");
}

TEST(ProgressViewTest, WideNamesKeepTheColumns) {
  RunModel model;
  model.Apply(SampleStarted({"a", "b"}));
  model.Apply(SampleState(1, "a", RUNNING));
  model.Apply(SampleProgress(2, "a", 5, 10, "bytes", "深度学习 深度学习"));
  ViewOptions options;
  options.width = 40;
  EXPECT_EQ(FrameLines(model, kSampleStartMicros, options)[0], "  a  5 B/10 B  深度学习 深度学习");
  options.width = 56;
  EXPECT_EQ(FrameLines(model, kSampleStartMicros, options)[0],
            "  a  [##########----------]  5 B/10 B  深度学习 深度学习");
}

TEST(ProgressViewTest, FinishedStages) {
  const RunModel model = InTheMiddle();
  ViewOptions options;
  EXPECT_EQ(FinishedLine(model, *model.Find("unique"), options),
            "  done    unique           1.9 s   2 684 kept, 401 exact and 32 near duplicates…");
  options.width = 120;
  EXPECT_EQ(FinishedLine(model, *model.Find("unique"), options),
            "  done    unique           1.9 s   2 684 kept, 401 exact and 32 near duplicates dropped");
  options.width = 30;
  EXPECT_EQ(FinishedLine(model, *model.Find("unique"), options), "  done    unique         1.9 s");
}

TEST(ProgressViewTest, CachedStages) {
  ViewOptions options;
  EXPECT_EQ(CachedLine({"web_en"}, options), "  cached  web_en");
  EXPECT_EQ(CachedLine({"web_en", "web_zh", "code"}, options), "  cached  3 stages: web_en, web_zh, code");
  options.width = 40;
  EXPECT_EQ(CachedLine({"web_en", "web_zh", "code", "reference"}, options), "  cached  4 stages: web_en and 3 more");
}

TEST(ProgressViewTest, Failures) {
  RunModel model = InTheMiddle();
  model.Apply(SampleFailure(80, "pretrain", "rank 1 of 2: killed by signal 9 after 1 min 14 s",
                            {"step 1420", "\x1b[31mBus error\x1b[0m"}));
  ViewOptions options;
  EXPECT_EQ(FinishedLine(model, *model.Find("pretrain"), options), "  FAILED  pretrain      1 min 14 s");
  EXPECT_EQ(
      absl::StrJoin(
          FailureLines(*model.Find("pretrain"), "/home/x/runs/7f3a", "millrace run F --only=pretrain", options), "\n"),
      "    rank 1 of 2: killed by signal 9 after 1 min 14 s\n"
      "    last 2 lines of its log:\n"
      "    | step 1420\n"
      "    | Bus error\n"
      "    log:   /home/x/runs/7f3a/pretrain/rank0.log\n"
      "    again: millrace run F --only=pretrain");
}

}  // namespace
}  // namespace millrace
