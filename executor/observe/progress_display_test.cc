#include "executor/observe/progress_display.h"

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "executor/observe/sample_run.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

// As much of a terminal as the display uses: lines, cursor up, erase to the end of the line and of the screen. One cell
// is one byte, so the texts below are ASCII.
class Screen {
 public:
  void Write(absl::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') {
        ++row_;
        column_ = 0;
      } else if (text[i] == '\r') {
        column_ = 0;
      } else if (text[i] == '\x1b') {
        size_t end = i + 2;
        while (!absl::ascii_isalpha(text[end])) ++end;
        const std::string number(text.substr(i + 2, end - i - 2).data(), end - i - 2);
        if (text[end] == 'A') row_ -= std::min<size_t>(row_, std::stoi(number));
        if (text[end] == 'K') Line().resize(column_);
        if (text[end] == 'J') {
          Line().resize(column_);
          lines_.resize(row_ + 1);
        }
        i = end;
      } else {
        if (Line().size() < column_ + 1) Line().resize(column_ + 1, ' ');
        Line()[column_++] = text[i];
      }
    }
  }
  std::string Text() const { return absl::StrJoin(lines_, "\n"); }

 private:
  std::string& Line() {
    if (lines_.size() <= row_) lines_.resize(row_ + 1);
    return lines_[row_];
  }
  std::vector<std::string> lines_;
  size_t row_ = 0, column_ = 0;
};

class ProgressDisplayTest : public ::testing::Test {
 protected:
  ProgressOptions Options(ProgressMode mode) {
    ProgressOptions options;
    options.mode = mode;
    options.now_micros = [this] { return now_; };
    options.size = [this] { return size_; };
    options.write = [this](absl::string_view text) {
      ++writes_;
      screen_.Write(text);
      output_.append(text.data(), text.size());
    };
    options.header = [] { return "deepseek_7b, profile laptop"; };
    options.runs_folder = "/cache/runs";
    options.rerun_command = [](const std::string& stage) { return "millrace run F --only=" + stage; };
    return options;
  }

  // Sends the event at its time, ticking each 100 ms up to there.
  void Send(ProgressDisplay& display, const RunEvent& event) {
    while (now_ + 100'000 <= event.time_unix_micros()) {
      now_ += 100'000;
      display.Tick();
    }
    now_ = event.time_unix_micros();
    display.OnEvent(event);
  }

  void PassFrame(ProgressDisplay& display) {
    now_ += 100'000;
    display.Tick();
  }

  int64_t now_ = kSampleStartMicros;
  TerminalSize size_{81, 24};
  Screen screen_;
  std::string output_;
  int writes_ = 0;
};

TEST_F(ProgressDisplayTest, ATerminalShowsWhatEndedAboveWhatRuns) {
  ProgressDisplay display(Options(ProgressMode::kTty));
  Send(display, SampleStarted());
  Send(display, SampleComplete(0.05, "web_en", CACHED, {}, 0.4));
  Send(display, SampleComplete(0.06, "web_zh", CACHED, {}, 0.4));
  EXPECT_EQ(output_, "");
  Send(display, SampleState(0.1, "unique", RUNNING));
  Send(display, SampleProgress(1.0, "unique", 1000, 3117, "documents"));
  Send(display, SampleProgress(1.2, "unique", 1200, 3117, "documents"));
  PassFrame(display);
  EXPECT_EQ(screen_.Text(),
            "deepseek_7b, profile laptop\n"
            "  cached  2 stages: web_en, web_zh\n"
            "  unique  [#######-------------]  1 200/3 117 documents\n"
            "  2 of 7 done, 2 cached, 1 running, 4 waiting   0:01\n");
  Send(display, SampleComplete(2.0, "unique", COMPLETE, {{"documents_kept", 2684}}, 1.9));
  Send(display, SampleState(2.1, "tokenizer", RUNNING));
  Send(display, SampleProgress(2.5, "tokenizer", 1, 4, ""));
  PassFrame(display);
  EXPECT_EQ(screen_.Text(),
            "deepseek_7b, profile laptop\n"
            "  cached  2 stages: web_en, web_zh\n"
            "  done    unique           1.9 s   2 684 kept\n"
            "  tokenizer  [#####---------------]  1/4\n"
            "  3 of 7 done, 2 cached, 1 running, 3 waiting   0:03\n");
  display.Finish();
  EXPECT_EQ(screen_.Text(),
            "deepseek_7b, profile laptop\n"
            "  cached  2 stages: web_en, web_zh\n"
            "  done    unique           1.9 s   2 684 kept\n");
}

TEST_F(ProgressDisplayTest, AtMostTenFramesASecond) {
  ProgressDisplay display(Options(ProgressMode::kTty));
  Send(display, SampleStarted());
  Send(display, SampleState(0.1, "unique", RUNNING));
  writes_ = 0;
  for (int i = 0; i < 1000; ++i) Send(display, SampleProgress(0.1 + i * 0.001, "unique", i, 3117, "documents"));
  EXPECT_LE(writes_, 11);
  EXPECT_GE(writes_, 8);
}

TEST_F(ProgressDisplayTest, ANarrowedTerminalIsRedrawnWithoutLeftovers) {
  ProgressDisplay display(Options(ProgressMode::kTty));
  Send(display, SampleStarted());
  Send(display, SampleState(0.1, "unique", RUNNING));
  Send(display, SampleProgress(1.0, "unique", 1200, 3117, "documents"));
  PassFrame(display);
  size_ = {31, 24};  // the two lines of 55 and 40 columns now take two each
  output_.clear();
  PassFrame(display);
  EXPECT_TRUE(absl::StartsWith(output_, "\r\x1b[4A")) << output_;
}

TEST_F(ProgressDisplayTest, NothingToDoPrintsNothing) {
  for (ProgressMode mode : {ProgressMode::kTty, ProgressMode::kPlain, ProgressMode::kQuiet}) {
    ProgressDisplay display(Options(mode));
    Send(display, SampleStarted());
    for (const char* stage : {"web_en", "web_zh", "unique", "tokenizer", "shards", "pretrain", "base_quality"}) {
      Send(display, SampleComplete(0.05, stage, CACHED, {}, 0.4));
    }
    display.Finish();
    EXPECT_EQ(output_, "");
    EXPECT_FALSE(display.something_ran());
  }
}

TEST_F(ProgressDisplayTest, PlainHasALineForEachChangeAndASteadyHeartbeat) {
  ProgressDisplay display(Options(ProgressMode::kPlain));
  Send(display, SampleStarted());
  Send(display, SampleComplete(0.05, "web_en", CACHED, {}, 0.4));
  Send(display, SampleState(0.1, "unique", RUNNING));
  Send(display, SampleComplete(0.9, "unique", COMPLETE, {{"documents_kept", 2684}}, 0.8));
  Send(display, SampleState(1, "pretrain", RUNNING));
  Send(display, SampleProgress(20, "pretrain", 100, 1000, "steps", "loss 3.71  lr 4.00e-3"));
  Send(display, SampleProgress(29, "pretrain", 190, 1000, "steps", "loss 3.70  lr 4.00e-3"));
  Send(display, SampleProgress(59, "pretrain", 490, 1000, "steps", "loss 3.60  lr 4.00e-3"));
  Send(display, SampleComplete(65, "pretrain", COMPLETE, {{"parameters", 933000}}, 64));
  display.Finish();
  EXPECT_EQ(output_,
            "deepseek_7b, profile laptop\n"
            "(a line for each change, and every 30 s for what runs; --progress=tty, quiet)\n"
            "   0:00  cached  web_en\n"
            "   0:01  done    unique           0.8 s   2 684 kept\n"
            "   0:02  start   pretrain\n"
            "   0:30  running pretrain 190/1 000 steps, loss 3.70 lr 4.00e-3, 10 steps/s, ETA 1:21   (2 of 7 done)\n"
            "   1:00  running pretrain 490/1 000 steps, loss 3.60 lr 4.00e-3, 10 steps/s, ETA 0:51   (2 of 7 done)\n"
            "   1:05  done    pretrain      1 min 04 s   parameters 933 000\n");
  EXPECT_EQ(output_.find('\r'), std::string::npos);
  EXPECT_EQ(output_.find('\x1b'), std::string::npos);
}

TEST_F(ProgressDisplayTest, FailuresShowInEachMode) {
  for (ProgressMode mode : {ProgressMode::kTty, ProgressMode::kPlain, ProgressMode::kQuiet}) {
    now_ = kSampleStartMicros;
    output_.clear();
    ProgressDisplay display(Options(mode));
    Send(display, SampleStarted());
    Send(display, SampleState(0.1, "unique", RUNNING));
    Send(display, SampleFailure(3, "unique", "exited with status 1", {"no space left on device"}));
    display.Finish();
    EXPECT_TRUE(absl::StrContains(output_, "FAILED  unique")) << output_;
    EXPECT_TRUE(absl::StrContains(output_, "    | no space left on device")) << output_;
    EXPECT_TRUE(absl::StrContains(output_, "/cache/runs/20231114-221320-7f3a/unique/rank0.log")) << output_;
    EXPECT_TRUE(absl::StrContains(output_, "again: millrace run F --only=unique")) << output_;
  }
}

}  // namespace
}  // namespace millrace
