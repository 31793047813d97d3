// Runs that share a cache, and runs that share a home.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/cas/remote/lying_cache.h"
#include "executor/engine/engine.h"
#include "executor/engine/pipeline_builder.h"

namespace millrace {
namespace {

class SharedCacheTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("shared_cache"); }
  void TearDown() override {
    server_.Stop();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }

  // The stages append to a file of the test's when they run.
  PipelineBuilder Chain(const std::string& version = "1") {
    PipelineBuilder builder;
    const std::string log = folder_ + "/ran";
    builder.Shell("a", absl::StrCat("echo a >> ", log, "; seq 20000 > out/out/x; echo ", version, " >> out/out/x"));
    builder.Shell("b", absl::StrCat("echo b >> ", log, "; tr 0 o < in/a/x > out/out/x"), {"a"});
    builder.Shell("c", absl::StrCat("echo c >> ", log, "; sort in/b/x > out/out/x"), {"b"});
    return builder;
  }
  // The names of the stages that ran since the last call.
  std::string TakeRan() {
    std::string ran = ReadFile(folder_ + "/ran").value_or("");
    ::unlink((folder_ + "/ran").c_str());
    ran.erase(std::remove(ran.begin(), ran.end(), '\n'), ran.end());
    return ran;
  }
  EngineOptions Options(const std::string& home, const std::vector<std::string>& modes) {
    EngineOptions options;
    options.home = JoinPath(folder_, home);
    options.jobs = 2;
    for (const std::string& mode : modes) {
      HttpCacheConfig& config = options.caches.emplace_back();
      config.url = server_.Url(mode);
      config.client = {.connect_timeout = absl::Seconds(1), .stall_timeout = absl::Seconds(2)};
    }
    return options;
  }
  RunResult Run(const std::string& home, const std::vector<std::string>& modes, PipelineBuilder builder) {
    engine_ = *Engine::Create(Options(home, modes), nullptr);
    notes_.clear();
    last_.clear();
    const auto result = engine_->Run(builder.pipeline(), [this](const RunEvent& event) {
      if (event.has_note()) notes_ += event.note() + "\n";
      if (event.has_stage_changed()) last_[event.stage_changed().stage()] = event.stage_changed().state();
    });
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : RunResult();
  }
  std::string DigestOf(const RunResult& result, const std::string& stage) {
    return result.entries.at(stage).output(0).digest();
  }

  std::string folder_;
  LyingCache server_{*MakeTempDirectory("lying_cache")};
  std::unique_ptr<Engine> engine_;
  std::string notes_;
  std::map<std::string, StageState> last_;
};

TEST_F(SharedCacheTest, TheSecondHomeRunsNothing) {
  const RunResult first = Run("a", {"ok"}, Chain());
  EXPECT_EQ(TakeRan(), "abc");
  EXPECT_EQ(first.exit_status, 0);

  const auto planner = *Engine::Create(Options("b", {"ok"}), nullptr);
  const std::vector<StagePlan> plan = *planner->Plan(Chain().pipeline());
  for (const StagePlan& stage : plan) EXPECT_EQ(stage.status, StagePlan::Status::kCached);
  EXPECT_FALSE(plan[1].remote.has_value());  // nobody needs its bytes
  EXPECT_EQ(plan[2].remote->cache, server_.Url("ok"));
  EXPECT_GT(plan[2].remote->bytes, 100'000);

  const RunResult second = Run("b", {"ok"}, Chain());
  EXPECT_EQ(TakeRan(), "");
  EXPECT_EQ(second.exit_status, 0);
  for (const char* stage : {"a", "b", "c"}) {
    EXPECT_EQ(last_[stage], CACHED) << stage;
    EXPECT_EQ(DigestOf(first, stage), DigestOf(second, stage)) << stage;
  }
  EXPECT_EQ(notes_, "");
  // The last stage's bytes came; those in between come when somebody looks.
  EXPECT_TRUE(engine_->Expose(second.entries.at("c").output(0), folder_ + "/c").ok());
  EXPECT_TRUE(absl::IsNotFound(engine_->Expose(second.entries.at("a").output(0), folder_ + "/a")));
  EXPECT_TRUE(engine_->Materialize(second.entries.at("a").output(0)).ok());

  // Also without the cache.
  server_.Stop();
  Run("b", {}, Chain());
  EXPECT_EQ(TakeRan(), "");
}

TEST_F(SharedCacheTest, WhatAStageNeedsIsFetched) {
  Run("a", {"ok"}, Chain());
  TakeRan();
  PipelineBuilder more = Chain();
  more.Shell("d", "wc -l < in/b/x > out/out/x", {"b"});
  const RunResult result = Run("b", {"ok"}, more);
  EXPECT_EQ(TakeRan(), "");
  EXPECT_EQ(last_["d"], COMPLETE);
  EXPECT_EQ(*ReadFile(*engine_->Materialize(result.entries.at("d").output(0)) + "/x"), "20001\n");
  EXPECT_EQ(notes_, "");
}

TEST_F(SharedCacheTest, WhatWasMadeBeforeThereWasACacheIsSentOnce) {
  Run("a", {}, Chain());
  Run("a", {"ok"}, Chain());
  EXPECT_EQ(TakeRan(), "abc");
  Run("b", {"ok"}, Chain());
  EXPECT_EQ(TakeRan(), "");
  const std::string log = server_.Log();
  Run("a", {"ok"}, Chain());
  EXPECT_EQ(server_.Log(), log);  // nothing to do, nothing asked
}

TEST_F(SharedCacheTest, AStageDecidedUponLaterIsFetchedToo) {
  Run("a", {"ok"}, Chain());
  TakeRan();
  // Another way to the same bytes: what follows is known once it has run.
  PipelineBuilder other = Chain();
  PipelineBuilder changed;
  changed.Shell("a", absl::StrCat("echo a >> ", folder_, "/ran; seq 20000 > out/out/x; echo 1 >> out/out/x  # same"));
  changed.pipeline().stages.push_back(other.pipeline().stages[1]);
  changed.pipeline().stages.push_back(other.pipeline().stages[2]);
  changed.Shell("d", "wc -l < in/b/x > out/out/x", {"b"});
  Run("b", {"ok"}, changed);
  EXPECT_EQ(TakeRan(), "a");
  EXPECT_EQ(last_["b"], CACHED);
  EXPECT_EQ(last_["c"], CACHED);
  EXPECT_EQ(last_["d"], COMPLETE);
  EXPECT_EQ(notes_, "");
}

TEST_F(SharedCacheTest, WhateverACacheDoesTheRunEndsTheSame) {
  const RunResult first = Run("a", {"ok"}, Chain());
  TakeRan();
  int home = 0;
  for (const char* mode :
       {"truncate", "flip", "wrong", "garbage", "die", "noranges", "hang", "closed", "401", "403", "503", "507"}) {
    const absl::Time started = absl::Now();
    const RunResult result = Run(absl::StrCat("home", ++home), {mode}, Chain());
    EXPECT_EQ(result.exit_status, 0) << mode;
    EXPECT_EQ(DigestOf(result, "c"), DigestOf(first, "c")) << mode;
    const auto lines = std::count(notes_.begin(), notes_.end(), '\n');
    const std::string ran = TakeRan();
    if (absl::StrContains("403 507 noranges", mode)) {
      EXPECT_EQ(ran, "") << mode << notes_;
    } else {
      EXPECT_NE(ran, "") << mode;
      EXPECT_GE(lines, 1) << mode;
    }
    EXPECT_LE(lines, 8) << mode << ": " << notes_;
    EXPECT_LT(absl::Now() - started, absl::Seconds(20)) << mode;
  }
}

TEST_F(SharedCacheTest, ACacheThatIsFullOrReadOnlyIsNamedOnce) {
  for (const char* mode : {"403", "507"}) {
    Run(absl::StrCat("home", mode), {mode}, Chain(mode));
    EXPECT_EQ(TakeRan(), "abc");
    EXPECT_EQ(std::count(notes_.begin(), notes_.end(), '\n'), 1) << notes_;
    EXPECT_TRUE(absl::StrContains(notes_, "this run puts none")) << notes_;
  }
}

TEST_F(SharedCacheTest, ABlobThatIsGoneFromTheCacheIsMadeAgain) {
  const RunResult first = Run("a", {"ok"}, Chain());
  TakeRan();
  Run("b", {"ok"}, Chain());
  // The server loses everything but the entries.
  ASSERT_TRUE(RemoveTree(server_.BlobPath("")).ok());
  PipelineBuilder more = Chain();
  more.Shell("d", "wc -l < in/b/x > out/out/x", {"b"});
  const RunResult result = Run("b", {"ok"}, more);
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(TakeRan(), "ab");
  EXPECT_EQ(DigestOf(result, "c"), DigestOf(first, "c"));
}

TEST_F(SharedCacheTest, CachesAreAskedInOrder) {
  Run("a", {"ok"}, Chain());
  Run("b", {"503", "ok"}, Chain());
  EXPECT_EQ(TakeRan(), "abc");
  EXPECT_TRUE(absl::StrContains(notes_, "/503: it answers 503"));
}

// A process of its own for an executor that is to be killed.
pid_t InAnotherProcess(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    body();
    ::_exit(0);
  }
  return pid;
}

TEST_F(SharedCacheTest, TwoExecutorsOnOneHomeMakeItOnce) {
  const auto pipeline = [&] {
    PipelineBuilder builder;
    builder.Shell("slow", absl::StrCat("echo s >> ", folder_, "/ran; sleep 1; echo x > out/out/x"));
    builder.Shell("after", absl::StrCat("echo a >> ", folder_, "/ran; cp in/slow/x out/out/"), {"slow"});
    return builder;
  };
  const pid_t other = InAnotherProcess([&] {
    const auto engine = *Engine::Create(Options("home", {}), nullptr);
    PipelineBuilder builder = pipeline();
    engine->Run(builder.pipeline(), nullptr).IgnoreError();
  });
  while (!FileExists(folder_ + "/ran")) absl::SleepFor(absl::Milliseconds(10));
  const RunResult result = Run("home", {}, pipeline());
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_TRUE(absl::StrContains(notes_, "another executor is at it")) << notes_;
  EXPECT_EQ(last_["slow"], CACHED);
  int status;
  ::waitpid(other, &status, 0);
  const std::string ran = TakeRan();
  EXPECT_EQ(ran, "sa");
}

TEST_F(SharedCacheTest, TheOtherTakesOverWhenOneDies) {
  // The first to run it sleeps for a minute.
  const auto pipeline = [&] {
    PipelineBuilder builder;
    builder.Shell("slow", absl::StrCat("[ -e ", folder_, "/quick ] && w=0 || w=60; echo s >> ", folder_,
                                       "/ran; sleep $w; echo x > out/out/x"));
    return builder;
  };
  const pid_t other = InAnotherProcess([&] {
    const auto engine = *Engine::Create(Options("home", {}), nullptr);
    PipelineBuilder builder = pipeline();
    engine->Run(builder.pipeline(), nullptr).IgnoreError();
  });
  while (!FileExists(folder_ + "/ran")) absl::SleepFor(absl::Milliseconds(10));
  ASSERT_TRUE(WriteFile(folder_ + "/quick", "").ok());
  std::thread killer([&] {
    absl::SleepFor(absl::Milliseconds(500));
    ::kill(other, SIGKILL);
  });
  const RunResult result = Run("home", {}, pipeline());
  killer.join();
  ::waitpid(other, nullptr, 0);
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(last_["slow"], COMPLETE);
  EXPECT_EQ(TakeRan(), "ss");
}

}  // namespace
}  // namespace millrace
