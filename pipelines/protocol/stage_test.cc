#include "pipelines/protocol/stage.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdlib>

#include "base/file.h"
#include "pipelines/schema/dedup.pb.h"

namespace millrace {
namespace {

class StageTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("stage_test");
    ::setenv("MILLRACE_REQUEST", Path("request.json").c_str(), 1);
    ::setenv("MILLRACE_EVENTS", Path("events").c_str(), 1);
    ::unsetenv("MILLRACE_GANG");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path(absl::string_view name) const { return JoinPath(folder_, name); }
  void Request(absl::string_view json) { ASSERT_TRUE(WriteFile(Path("request.json"), json).ok()); }
  std::string folder_;
};

constexpr absl::string_view kDedup = R"({
  "kind": "dedup",
  "parameters": {"@type": "type.googleapis.com/millrace.Dedup", "minhash": {"bands": 20}},
  "input": [{"name": "from.0", "path": "in/from.0", "artifact": "DOCUMENTS"},
            {"name": "from.1", "path": "in/from.1", "artifact": "DOCUMENTS"}],
  "output": [{"name": "documents", "path": "out/documents", "artifact": "DOCUMENTS"}],
  "seed": "7"
})";

TEST_F(StageTest, ReadsItsRequest) {
  Request(kDedup);
  const int status = StageMain<Dedup>([](Stage& stage, const Dedup& parameters) {
    EXPECT_EQ(parameters.minhash().bands(), 20);
    EXPECT_EQ(parameters.minhash().rows_per_band(), 8);
    EXPECT_EQ(stage.InputPaths("from"), (std::vector<std::string>{"in/from.0", "in/from.1"}));
    EXPECT_EQ(*stage.OutputPath("documents"), "out/documents");
    EXPECT_FALSE(stage.HasInput("tokenizer"));
    EXPECT_EQ(stage.seed(), 7);
    EXPECT_EQ(stage.threads(), 1);
    return absl::OkStatus();
  });
  EXPECT_EQ(status, kStageComplete);
}

TEST_F(StageTest, ExitStatusSaysWhoActs) {
  Request(kDedup);
  const auto exit_status = [](absl::Status status) {
    return StageMain<Dedup>([&](Stage&, const Dedup&) { return status; });
  };
  EXPECT_EQ(exit_status(absl::InvalidArgumentError("x")), kStageBadRequest);
  EXPECT_EQ(exit_status(absl::InternalError("x")), kStageFailed);
  EXPECT_EQ(exit_status(absl::CancelledError("x")), kStageInterrupted);
  EXPECT_EQ(exit_status(GateFailedError("x")), kStageGateFailed);
}

TEST_F(StageTest, RefusesARequestForAnotherKind) {
  Request(R"({"parameters": {"@type": "type.googleapis.com/millrace.Dedup.Exact"}})");
  bool ran = false;
  EXPECT_EQ(StageMain<Dedup>([&](Stage&, const Dedup&) {
              ran = true;
              return absl::OkStatus();
            }),
            kStageBadRequest);
  EXPECT_FALSE(ran);
}

TEST_F(StageTest, EventsAreShortLinesOfJson) {
  Request(kDedup);
  StageMain<Dedup>([](Stage& stage, const Dedup&) {
    stage.ReportMetric("documents_kept", 12);
    stage.ReportMetric("loss", 5.5, 40);
    stage.ReportExample("dropped", "a\nb", std::string(20000, '\x01'));
    stage.ReportProgress(1, 2, "documents");
    stage.ReportProgress(1.5, 2, "documents");  // too soon after the first
    stage.ReportProgress(2, 2, "documents");
    return absl::OkStatus();
  });
  const std::string events = *ReadFile(Path("events"));
  EXPECT_EQ(events.substr(0, events.find('\n')), R"({"metric":{"name":"documents_kept","value":12}})");
  EXPECT_NE(events.find(R"({"metric":{"name":"loss","value":5.5,"step":"40"}})"), std::string::npos);
  EXPECT_EQ(events.find("1.5"), std::string::npos);
  size_t lines = 0, begin = 0;
  for (size_t end; (end = events.find('\n', begin)) != std::string::npos; begin = end + 1, ++lines)
    EXPECT_LE(end + 1 - begin, 4096);
  EXPECT_EQ(lines, 5);
}

TEST_F(StageTest, ACheckpointThatNobodyHearsOfIsAnError) {
  Request(kDedup);
  ::setenv("MILLRACE_EVENTS", "/dev/full", 1);
  const auto report = [](Stage& stage, const Dedup&) {
    stage.ReportMetric("loss", 5.5, 39);  // lost in silence
    return stage.ReportCheckpoint("out/checkpoint/step-000040", 40);
  };
  absl::Status reported;
  const auto body = [&](Stage& stage, const Dedup& parameters) { return reported = report(stage, parameters); };
  EXPECT_EQ(StageMain<Dedup>(body), kStageFailed);
  EXPECT_TRUE(absl::IsResourceExhausted(reported)) << reported;
  EXPECT_NE(reported.message().find("report the checkpoint of step 40: "), absl::string_view::npos) << reported;
  ::setenv("MILLRACE_EVENTS", Path("no folder/events").c_str(), 1);
  EXPECT_EQ(StageMain<Dedup>(body), kStageBadRequest);
  ::unsetenv("MILLRACE_EVENTS");
  EXPECT_EQ(StageMain<Dedup>(body), kStageComplete);
}

// A limit on the size of files cuts a write short, as a disk that fills up does.
TEST_F(StageTest, TheLineAfterATornOneIsWhole) {
  Request(kDedup);
  ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit unlimited;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  StageMain<Dedup>([&](Stage& stage, const Dedup&) {
    struct rlimit small = unlimited;
    small.rlim_cur = 20;
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_FALSE(stage.ReportCheckpoint("out/checkpoint/step-000040", 40).ok());
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    EXPECT_TRUE(stage.ReportCheckpoint("out/checkpoint/step-000050", 50).ok());
    return absl::OkStatus();
  });
  EXPECT_EQ(*ReadFile(Path("events")),
            "{\"checkpoint_publish\n"
            R"({"checkpoint_published":{"path":"out/checkpoint/step-000050","step":"50"}})"
            "\n");
}

}  // namespace
}  // namespace millrace
