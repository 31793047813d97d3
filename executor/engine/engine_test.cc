// Whole runs of small pipelines whose stages are shell scripts.
#include "executor/engine/engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/engine/pipeline_builder.h"
#include "executor/engine/run_log.h"
#include "pipelines/schema/evaluate.pb.h"

namespace millrace {
namespace {

using Status = StagePlan::Status;

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("engine");
    options_.home = Path("home");
    options_.jobs = 2;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }

  RunResult Run(PipelineBuilder& builder) {
    engine_ = *Engine::Create(options_, nullptr);
    states_.clear();
    errors_.clear();
    notes_.clear();
    auto result = engine_->Run(builder.pipeline(), [this](const RunEvent& event) {
      if (event.has_note()) notes_ += event.note() + "\n";
      if (!event.has_stage_changed()) return;
      const StageChanged& changed = event.stage_changed();
      states_[changed.stage()].push_back(changed.state());
      if (changed.has_error()) errors_[changed.stage()] = changed;
    });
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return RunResult();
    result->work_folders.reset();
    return *std::move(result);
  }
  std::vector<StagePlan> Plan(PipelineBuilder& builder) {
    engine_ = *Engine::Create(options_, nullptr);
    return *engine_->Plan(builder.pipeline());
  }
  StageState Last(const std::string& stage) const { return states_.at(stage).back(); }
  int TimesRun(const std::string& stage) const {
    const auto& states = states_.at(stage);
    return static_cast<int>(std::count(states.begin(), states.end(), RUNNING));
  }
  std::string Output(const RunResult& result, const std::string& stage, const std::string& file) {
    const std::string folder = *engine_->Materialize(result.entries.at(stage).output(0));
    return *ReadFile(JoinPath(folder, file));
  }

  std::string folder_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
  std::map<std::string, std::vector<StageState>> states_;
  std::map<std::string, StageChanged> errors_;
  std::string notes_;
};

TEST_F(EngineTest, RunsOnceAndIsCachedThen) {
  PipelineBuilder builder;
  builder.Shell("a", "echo hello > out/out/x");
  builder.Shell("b", "tr a-z A-Z < in/a/x > $MILLRACE_OUTPUT_OUT/y; cat request.json", {"a"});
  RunResult result = Run(builder);
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(states_["a"], (std::vector<StageState>{READY, RUNNING, COMPLETE}));
  EXPECT_EQ(Output(result, "b", "y"), "HELLO\n");
  EXPECT_TRUE(absl::StrContains(*ReadFile(result.run_folder + "/stages/b/rank0.attempt1.log"), "\"kind\":\"custom\""));
  EXPECT_EQ(*ReadFile(options_.home + "/latest/test/events.log"), *ReadFile(result.run_folder + "/events.log"));

  const RunResult again = Run(builder);
  EXPECT_EQ(states_["b"], std::vector<StageState>{CACHED});
  EXPECT_EQ(again.entries.at("b").output(0).digest(), result.entries.at("b").output(0).digest());

  // Another name, another home: the same keys, the same bytes.
  builder.pipeline().stages[0].name = "renamed";
  Run(builder);
  EXPECT_EQ(Last("renamed"), CACHED);
  options_.home = Path("other");
  EXPECT_EQ(Run(builder).entries.at("b").output(0).digest(), result.entries.at("b").output(0).digest());
  EXPECT_EQ(Last("b"), COMPLETE);
}

TEST_F(EngineTest, EarlyCutoff) {
  PipelineBuilder first, second;
  first.Shell("a", "echo x > out/out/x # one way");
  first.Shell("b", "cp in/a/x out/out", {"a"});
  second.Shell("a", "echo x > out/out/x # another way");
  second.Shell("b", "cp in/a/x out/out", {"a"});
  Run(first);
  const std::vector<StagePlan> plan = Plan(second);
  EXPECT_EQ(plan[0].status, Status::kRun);
  EXPECT_EQ(plan[0].reason.find("echo x") != std::string::npos || absl::StrContains(plan[0].reason, "changed"), true);
  EXPECT_EQ(plan[1].status, Status::kBlocked);
  EXPECT_EQ(plan[1].reason, "waits for a");
  EXPECT_FALSE(plan[1].key.has_value());
  EXPECT_TRUE(plan[1].previous.has_value());
  Run(second);
  EXPECT_EQ(Last("a"), COMPLETE);
  EXPECT_EQ(Last("b"), CACHED);
}

TEST_F(EngineTest, AFailureIsShownAndEndsTheRun) {
  PipelineBuilder builder;
  builder.Shell("bad", "echo attempt; for i in $(seq 30); do echo line $i; done; exit 7");
  builder.Shell("after", "true", {"bad"});
  builder.Shell("good", "sleep 0.1; echo good > out/out/x");
  const RunResult result = Run(builder);
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(TimesRun("bad"), 2);
  EXPECT_EQ(Last("bad"), FAILED);
  EXPECT_EQ(Last("after"), SKIPPED);
  const StageChanged& failed = errors_.at("bad");
  EXPECT_TRUE(absl::StartsWith(failed.error(), "exited with status 7 after ")) << failed.error();
  EXPECT_EQ(failed.log_tail_size(), 20);
  EXPECT_EQ(failed.log_tail(19), "line 30");
  EXPECT_EQ(failed.log_path(), "stages/bad/rank0.attempt2.log");
  EXPECT_EQ(failed.attempt(), 2);
}

TEST_F(EngineTest, KeepsGoingWhereNothingNeedsWhatFailed) {
  PipelineBuilder builder;
  builder.Shell("bad", "exit 1").execution.set_attempts(1);
  builder.Shell("good", "sleep 0.2; echo x > out/out/x");
  builder.Shell("after_bad", "echo x > out/out/x", {"bad"});
  builder.Shell("after_good", "echo x > out/out/x", {"good"});
  options_.jobs = 1;
  options_.keep_going = true;
  EXPECT_EQ(Run(builder).exit_status, 1);
  EXPECT_EQ(Last("bad"), FAILED);
  EXPECT_EQ(Last("after_bad"), SKIPPED);
  EXPECT_EQ(Last("after_good"), COMPLETE);
}

// What was seen to take long goes first, whatever the file's order.
TEST_F(EngineTest, TheLongestWayGoesFirst) {
  const auto pipeline = [](const std::string& salt) {
    PipelineBuilder builder;
    builder.Shell("quick", "date +%s%N > out/out/at; : " + salt);
    builder.Shell("slow", "date +%s%N > out/out/at; sleep 0.3; : " + salt);
    return builder;
  };
  options_.jobs = 1;
  PipelineBuilder first = pipeline("a"), again = pipeline("b");
  RunResult result = Run(first);
  EXPECT_LT(Output(result, "quick", "at"), Output(result, "slow", "at"));
  result = Run(again);
  EXPECT_LT(Output(result, "slow", "at"), Output(result, "quick", "at"));
}

TEST_F(EngineTest, AGangHasItsClustersNetwork) {
  PipelineBuilder builder;
  const char* script = "[ $RANK = 1 ] || { echo ${GLOO_SOCKET_IFNAME:-none}; cat $MILLRACE_GANG; } > out/out/x";
  builder.Shell("gang", script).ranks = 2;
  builder.pipeline().network.set_interface("eth7");
  builder.pipeline().network.set_collective_timeout("90");
  const std::string said = Output(Run(builder), "gang", "x");
  EXPECT_TRUE(absl::StartsWith(said, "eth7\n")) << said;
  EXPECT_TRUE(absl::StrContains(said, "\"collective_timeout_seconds\":90")) << said;
  // In no key.
  builder.pipeline().network.Clear();
  Run(builder);
  EXPECT_EQ(Last("gang"), CACHED);
}

TEST_F(EngineTest, CausesDecideOnRetries) {
  PipelineBuilder builder;
  ResolvedStage& refused = builder.Shell("refused", "exit 2");
  refused.execution.set_attempts(5);
  EXPECT_EQ(Run(builder).exit_status, 1);
  EXPECT_EQ(TimesRun("refused"), 1);

  PipelineBuilder flaky;
  flaky.Shell("flaky", absl::StrCat("if [ -e ", Path("second"), " ]; then echo ok > out/out/x; exit 0; fi; touch ",
                                    Path("second"), "; kill -SEGV $$"));
  EXPECT_EQ(Run(flaky).exit_status, 0);
  EXPECT_EQ(TimesRun("flaky"), 2);
  EXPECT_TRUE(absl::StrContains(notes_, "ended by signal 11")) << notes_;

  PipelineBuilder missing;
  missing.Shell("missing", "").command = {"no_such_program"};
  EXPECT_EQ(Run(missing).exit_status, 1);
  EXPECT_TRUE(absl::StrContains(errors_["missing"].error(), "no program \"no_such_program\""));

  PipelineBuilder slow;
  ResolvedStage& stage = slow.Shell("slow", "sleep 60 & wait");
  stage.execution.set_time_limit("0.2");
  stage.execution.set_attempts(1);
  EXPECT_EQ(Run(slow).exit_status, 1);
  EXPECT_TRUE(absl::StrContains(errors_["slow"].error(), "time limit")) << errors_["slow"].error();
}

TEST_F(EngineTest, WhatAStageReportsIsInItsEntry) {
  PipelineBuilder builder;
  builder.Shell("a", R"(
      cat >> $MILLRACE_EVENTS <<END
{"metric":{"name":"kept","value":1}}
{"metric":{"name":"kept","value":2}}
{"metric":{"name":"time.seconds","value":9}}
{"metric":{"name":"loss","value":5,"step":10}}
{"metric":{"name":"loss","value":4,"step":20}}
{"example":{"group":"dropped","title":"t","text":"x"}}
{"warning":"w"}
END
      echo x > out/out/x)");
  const ActionEntry entry = Run(builder).entries.at("a");
  ASSERT_EQ(entry.metric_size(), 1);
  EXPECT_EQ(entry.metric(0).value(), 2);
  ASSERT_EQ(entry.curve_size(), 1);
  EXPECT_EQ(entry.curve(0).step(1), 20);
  EXPECT_EQ(entry.example_size(), 1);
  EXPECT_EQ(entry.warning(0), "w");
  EXPECT_GT(entry.peak_memory_bytes(), 0);
  EXPECT_EQ(Run(builder).entries.at("a").curve(0).value(1), 4);
}

TEST_F(EngineTest, AGateThatDoesNotHold) {
  PipelineBuilder builder;
  ResolvedStage& quality = builder.Shell("quality", "echo m > out/out/metrics.json; echo 3.1 is above 2.5; exit 4");
  quality.kind = "evaluate";
  quality.parameters = std::make_shared<Evaluate>();
  builder.Shell("after", "true", {"quality"});
  builder.Shell("beside", "echo x > out/out/x");
  for (int i = 0; i < 2; ++i) {
    const RunResult result = Run(builder);
    EXPECT_EQ(result.exit_status, 4);
    EXPECT_EQ(Last("quality"), GATE_FAILED);
    EXPECT_EQ(Last("after"), SKIPPED);
    EXPECT_EQ(Last("beside"), i == 0 ? COMPLETE : CACHED);
    EXPECT_EQ(result.entries.at("quality").gate_message(), "3.1 is above 2.5");
  }
}

TEST_F(EngineTest, FilesOfTheUser) {
  ASSERT_TRUE(WriteFile(Path("data"), "one\n").ok());
  PipelineBuilder builder;
  builder.Shell("a", "cat in/files/d/data > out/out/x");
  builder.External("files", {{"d/data", Path("data")}});
  RunResult result = Run(builder);
  EXPECT_EQ(Output(result, "a", "x"), "one\n");
  ASSERT_EQ(::utimensat(AT_FDCWD, Path("data").c_str(), nullptr, 0), 0);  // touched
  Run(builder);
  EXPECT_EQ(Last("a"), CACHED);
  ASSERT_TRUE(WriteFile(Path("data"), "two\n").ok());
  EXPECT_EQ(Plan(builder)[0].reason, "the content of files changed");
  result = Run(builder);
  EXPECT_EQ(Output(result, "a", "x"), "two\n");
  ASSERT_TRUE(WriteFile(Path("data"), "one\n").ok());
  Run(builder);
  EXPECT_EQ(Last("a"), CACHED);

  builder.pipeline().stages[0].external_inputs[0].unresolved = "root \"corpora\" is not named";
  EXPECT_EQ(Plan(builder)[0].reason, "root \"corpora\" is not named");
  EXPECT_EQ(engine_->Run(builder.pipeline(), nullptr).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(EngineTest, AFileThatChangesWhileTheStageRunsIsTriedAgain) {
  ASSERT_TRUE(WriteFile(Path("data"), "one\n").ok());
  PipelineBuilder builder;
  builder.Shell("a", absl::StrCat("cat in/files/data > out/out/x; [ -e ", Path("done"), " ] || echo two > ",
                                  Path("data"), "; touch ", Path("done")));
  builder.External("files", {{"data", Path("data")}});
  const RunResult result = Run(builder);
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(Output(result, "a", "x"), "two\n");
  EXPECT_TRUE(absl::StrContains(notes_, "changed while the stage ran")) << notes_;
  // Nothing was kept for "one".
  ASSERT_TRUE(WriteFile(Path("data"), "one\n").ok());
  EXPECT_EQ(Plan(builder)[0].status, Status::kRun);
}

TEST_F(EngineTest, LockFiles) {
  ASSERT_TRUE(WriteFile(Path("data"), "one\n").ok());
  PipelineBuilder builder;
  builder.Shell("a", "cat in/files/data > out/out/x");
  builder.External("files", {{"data", Path("data")}}, Path("x.lock"));
  engine_ = *Engine::Create(options_, nullptr);
  EXPECT_EQ(*engine_->WriteLocks(builder.pipeline()), std::vector<std::string>{Path("x.lock")});
  EXPECT_EQ(*ReadFile(Path("x.lock")), "data 4 2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806\n");
  options_.locked = true;
  EXPECT_EQ(Run(builder).exit_status, 0);
  EXPECT_EQ(notes_, "");
  ASSERT_TRUE(WriteFile(Path("data"), "two\n").ok());
  engine_ = *Engine::Create(options_, nullptr);
  const absl::Status refused = engine_->Run(builder.pipeline(), nullptr).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(refused.message(), "x.lock: data: sha256 ")) << refused;
  options_.locked = false;
  EXPECT_EQ(Run(builder).exit_status, 0);
  EXPECT_TRUE(absl::StrContains(notes_, "not what their lock says")) << notes_;
}

TEST_F(EngineTest, LockFilesHoldInTheMiddleOfARunToo) {
  const auto write = [&] { ASSERT_TRUE(WriteFile(Path("data"), "one\n").ok()); };
  const std::string spoil = absl::StrCat("grep -q two ", Path("data"), " || echo two > ", Path("data"), "; ");
  // What reads the file is decided on once another stage has run; or once more, as the file changed under it.
  PipelineBuilder later, again;
  later.Shell("first", spoil + "echo > out/out/x");
  later.Shell("reads", "cat in/files/data > out/out/x", {"first"});
  later.External("files", {{"data", Path("data")}}, Path("x.lock"));
  again.Shell("reads", "cat in/files/data > out/out/x; " + spoil);
  again.External("files", {{"data", Path("data")}}, Path("x.lock"));
  for (PipelineBuilder* builder : {&later, &again}) {
    write();
    engine_ = *Engine::Create(options_, nullptr);
    ASSERT_TRUE(engine_->WriteLocks(builder->pipeline()).ok());
    options_.locked = true;
    EXPECT_EQ(Run(*builder).exit_status, 1);
    EXPECT_TRUE(absl::StrContains(errors_["reads"].error(), "--locked")) << errors_["reads"].error();
    write();
    options_.locked = false;
    options_.force = {"first"};
    EXPECT_EQ(Run(*builder).exit_status, 0);
    EXPECT_TRUE(absl::StrContains(notes_, "not what their lock says")) << notes_;
  }
}

TEST_F(EngineTest, AnUnrepeatableStageIsAnErrorThatNamesIt) {
  PipelineBuilder builder;
  builder.Shell("random", "head -c 9 /dev/urandom > out/out/x");
  EXPECT_EQ(Run(builder).exit_status, 0);
  options_.force = {"random"};
  EXPECT_EQ(Plan(builder)[0].reason, "forced");
  EXPECT_EQ(Run(builder).exit_status, 1);
  EXPECT_TRUE(absl::StrContains(errors_["random"].error(), "stage \"random\" made another \"out\""));
}

TEST_F(EngineTest, AnInterruptedRunGoesOnLater) {
  PipelineBuilder builder;
  builder.Shell("quick", "echo x > out/out/x");
  builder.Shell("slow",
                absl::StrCat("touch ", Path("running"), "; trap 'exit 75' TERM; [ -e ", Path("second"),
                             " ] || { sleep 60 & wait; }; echo y > out/out/y"),
                {"quick"});
  engine_ = *Engine::Create(options_, nullptr);
  std::thread thread([&] {
    while (!FileExists(Path("running"))) absl::SleepFor(absl::Milliseconds(5));
    engine_->Interrupt();
  });
  RunResult result = *engine_->Run(builder.pipeline(), nullptr);
  thread.join();
  EXPECT_EQ(result.exit_status, 130);
  EXPECT_EQ(result.entries.size(), 1);
  ASSERT_TRUE(WriteFile(Path("second"), "").ok());
  EXPECT_EQ(Run(builder).exit_status, 0);
  EXPECT_EQ(Last("quick"), CACHED);
}

TEST_F(EngineTest, IsInterruptedWhileItReadsInputs) {
  const int fd = ::open(Path("huge").c_str(), O_WRONLY | O_CREAT, 0666);
  ASSERT_EQ(::ftruncate(fd, int64_t{1} << 40), 0);  // it would be read for minutes
  ::close(fd);
  PipelineBuilder builder;
  builder.Shell("a", "true");
  builder.External("files", {{"huge", Path("huge")}});
  engine_ = *Engine::Create(options_, nullptr);
  std::thread thread([&] {
    absl::SleepFor(absl::Milliseconds(50));
    engine_->Interrupt();
  });
  EXPECT_EQ(engine_->Run(builder.pipeline(), nullptr).status().code(), absl::StatusCode::kCancelled);
  thread.join();
  EXPECT_TRUE(ListFiles(options_.home + "/runs")->empty());
}

TEST_F(EngineTest, CollectedBytesAreMadeAgainOnlyWhereNeeded) {
  PipelineBuilder builder;
  const std::string big = "head -c 100000 /dev/zero > out/out/";
  builder.Shell("a", big + "a");
  builder.Shell("b", big + "b; cat in/a/a >> out/out/b", {"a"});
  builder.Shell("c", "wc -c < in/b/b > out/out/c", {"b"});
  const RunResult first = Run(builder);
  EXPECT_EQ(engine_->CollectGarbage({})->results.entries_kept, 0);
  EXPECT_EQ(engine_->Expose(first.entries.at("a").output(0), Path("x")).code(), absl::StatusCode::kNotFound);
  // The last stage's bytes are wanted: c needs b, b needs a.
  for (const StagePlan& plan : Plan(builder)) EXPECT_EQ(plan.reason, "its bytes are gone, and are needed");
  const RunResult second = Run(builder);
  EXPECT_EQ(second.exit_status, 0);
  EXPECT_EQ(Last("a"), COMPLETE);
  EXPECT_EQ(second.entries.at("c").output(0).digest(), first.entries.at("c").output(0).digest());

  // The bytes of `a` alone: nothing needs them.
  ASSERT_TRUE(engine_->Expose(second.entries.at("b").output(0), Path("out/b")).ok());
  EXPECT_EQ(*FileSize(Path("out/b/b")), 200000);
  const std::string blob = Sha256Hex(std::string(100000, '\0'));
  ASSERT_EQ(::unlink(absl::StrCat(options_.home, "/cas/blobs/", blob.substr(0, 2), "/", blob).c_str()), 0);
  Run(builder);
  EXPECT_EQ(Last("a"), CACHED);
  builder.Shell("d", "cksum < in/a/a > out/out/d", {"a"});
  EXPECT_EQ(Run(builder).exit_status, 0);
  EXPECT_EQ(Last("a"), COMPLETE);
  EXPECT_EQ(Last("b"), CACHED);
}

TEST_F(EngineTest, BytesThatGoAwayInTheMiddleAreMadeAgain) {
  PipelineBuilder builder;
  const std::string blob = Sha256Hex(std::string(100000, '\0'));
  const std::string path = absl::StrCat(options_.home, "/cas/blobs/", blob.substr(0, 2), "/", blob);
  builder.Shell("a", "head -c 100000 /dev/zero > out/out/a");
  builder.Shell(
      "vandal",
      absl::StrCat("[ -e ", Path("done"), " ] || rm -f ", path, "; touch ", Path("done"), "; echo > out/out/v"), {"a"});
  builder.Shell("b", "wc -c < in/a/a > out/out/b", {"a", "vandal"});
  const RunResult result = Run(builder);
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(TimesRun("a"), 2);
  EXPECT_EQ(Output(result, "b", "b"), "100000\n");
  EXPECT_TRUE(absl::StrContains(notes_, "runs again")) << notes_;
}

TEST_F(EngineTest, GarbageCollectionLeavesARunningRunAlone) {
  PipelineBuilder builder;
  builder.Shell("old", "head -c 100000 /dev/zero > out/out/x");
  EXPECT_EQ(Run(builder).exit_status, 0);
  builder.Shell("made", "yes | head -c 100000 > out/out/x");
  builder.Shell("waits",
                absl::StrCat("touch ", Path("waiting"), "; while [ ! -e ", Path("go"), " ]; do sleep 0.01; done; ",
                             "cat in/made/x > out/out/x"),
                {"made"});
  builder.Shell("last", "cat in/old/x in/made/x | wc -c > out/out/x", {"old", "made", "waits"});
  auto collector = *Engine::Create(options_, nullptr);
  std::thread thread([&] {
    while (!FileExists(Path("waiting"))) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(collector->CollectGarbage({})->results.entries_kept, 2);
    EXPECT_TRUE(WriteFile(Path("go"), "").ok());
  });
  const RunResult result = Run(builder);
  thread.join();
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(notes_, "");
  EXPECT_EQ(Output(result, "last", "x"), "200000\n");
}

TEST_F(EngineTest, AFullDiskIsTheMachinesFaultAndNothingIsTorn) {
  const std::string mounted = Path("mounted");
  ASSERT_TRUE(CreateDirectories(mounted).ok());
  if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "a file system of 1 MiB cannot be mounted here: that takes root";
  PipelineBuilder builder;
  for (int i = 0; i < 40; ++i) {
    // Nothing that the scripts do fails: what does not fit is the executor's to notice.
    builder.Shell(absl::StrCat("s", i),
                  absl::StrCat("ln -s ", Path("big"), i % 8, " out/out/x; echo ", i, " > out/out/y"));
    ASSERT_TRUE(WriteFile(absl::StrCat(Path("big"), i % 8), std::string(200'000, 'a' + i % 8)).ok());
  }
  options_.home = mounted + "/home";
  EXPECT_EQ(Run(builder).exit_status, 3);
  bool said = false;
  for (const auto& [stage, failed] : errors_) said |= absl::StrContains(failed.error(), "No space left");
  EXPECT_TRUE(said) << errors_.begin()->second.error();
  ASSERT_EQ(::mount("", mounted.c_str(), "", MS_REMOUNT, "size=32m"), 0);
  const RunResult result = Run(builder);
  EXPECT_EQ(result.exit_status, 0);
  options_.home = Path("home");
  const RunResult elsewhere = Run(builder);
  for (const auto& [stage, entry] : elsewhere.entries)
    EXPECT_EQ(result.entries.at(stage).output(0).digest(), entry.output(0).digest()) << stage;
  engine_.reset();
  EXPECT_EQ(::umount(mounted.c_str()), 0);
}

TEST_F(EngineTest, OrderAndParallelism) {
  PipelineBuilder builder;
  for (int i = 0; i < 8; ++i)
    builder.Shell(absl::StrCat("s", i), absl::StrCat("echo ", i, " >> ", Path("order"), "; echo ", i, " > out/out/x"));
  options_.jobs = 1;
  EXPECT_EQ(Run(builder).exit_status, 0);
  EXPECT_EQ(*ReadFile(Path("order")), "0\n1\n2\n3\n4\n5\n6\n7\n");
}

TEST_F(EngineTest, ADiamondOfManyStages) {
  PipelineBuilder builder;
  builder.Shell("top", "echo t > out/out/x");
  std::vector<std::string> middle;
  std::string cat = "cat";
  for (int i = 0; i < 50; ++i) {
    middle.push_back(absl::StrCat("m", i));
    builder.Shell(middle.back(), absl::StrCat("(cat in/top/x; echo ", i, ") > out/out/x"), {"top"});
    absl::StrAppend(&cat, " in/m", i, "/x");
  }
  builder.Shell("bottom", cat + " | cksum > out/out/x", middle);
  EXPECT_EQ(Run(builder).exit_status, 0);
  Run(builder);
  EXPECT_EQ(Last("bottom"), CACHED);
}

TEST_F(EngineTest, ManyStagesKeepTheirRecordsToThemselves) {
  PipelineBuilder builder;
  for (int i = 0; i < 1001; ++i) builder.Shell(absl::StrCat("s", i), absl::StrCat(": ", i, " > out/out/x"));
  EXPECT_EQ(Run(builder).exit_status, 0);
  EXPECT_EQ(Run(builder).entries.size(), 1001);
  EXPECT_EQ(Last("s1000"), CACHED);
  const std::vector<StagePlan> plan = Plan(builder);
  EXPECT_EQ(plan[7].status, Status::kCached);
  EXPECT_FALSE(plan[7].key_record.has_value());
}

TEST_F(EngineTest, TheLogTellsTheRun) {
  PipelineBuilder builder;
  builder.Shell("a", "echo x > out/out/x");
  options_.arguments = {"run", "x"};
  RunResult result = Run(builder);
  std::vector<RunEvent> events;
  ASSERT_TRUE((*RunLogReader::Open(result.run_folder))->Read([&](const RunEvent& e) { events.push_back(e); }).ok());
  ASSERT_EQ(events.size(), 5);
  EXPECT_EQ(events[0].run_started().stage(0).name(), "a");
  EXPECT_EQ(events[0].run_started().argument(1), "x");
  EXPECT_EQ(events[0].run_started().millrace_version(), kVersion);
  EXPECT_GT(events[0].run_started().machine().memory_bytes(), 0);
  EXPECT_TRUE(events[1].stage_changed().has_key_record());
  EXPECT_EQ(events[4].run_finished().stages_run(), 1);
  // No working folder, no lease is left.
  result.work_folders.reset();
  EXPECT_TRUE(ListFiles(options_.home + "/work")->empty());
  EXPECT_TRUE(ListFiles(options_.home + "/leases")->empty());
}

}  // namespace
}  // namespace millrace
