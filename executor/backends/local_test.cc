// What every backend must do, with shell scripts for stages.
#include "executor/backends/local.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

using Outcome = GangResult::Outcome;

class LocalBackendTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("local_backend"); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  GangSpec Shell(const std::string& script, int ranks = 1) {
    GangSpec spec;
    spec.stage = "test";
    spec.work_folder = folder_;
    spec.argument = {"/bin/sh", "-c", script};
    spec.environment = {"PATH=/usr/bin:/bin", absl::StrCat("HOME=", folder_)};
    spec.ranks = ranks;
    spec.gang.set_run_id("run");
    for (int rank = 0; rank < ranks; ++rank) spec.log_path.push_back(absl::StrCat(folder_, "/log", rank));
    return spec;
  }
  GangResult Finish(Gang& gang) {
    for (int i = 0; i < 200; ++i) {
      const auto result = gang.Wait(absl::Milliseconds(100),
                                    [&](int rank, const StageEvent& event) { events_.emplace_back(rank, event); });
      EXPECT_TRUE(result.ok()) << result.status();
      if (result->has_value()) return **result;
    }
    ADD_FAILURE() << "the gang does not end";
    return {};
  }
  GangResult Run(const GangSpec& spec) { return Finish(**backend_.Submit(spec)); }
  std::string Log(int rank = 0) { return *ReadFile(absl::StrCat(folder_, "/log", rank)); }
  // The process whose id a script has written to `name`.
  pid_t PidIn(const std::string& name) {
    for (int i = 0; i < 1000; ++i) {
      const absl::StatusOr<std::string> text = ReadFile(JoinPath(folder_, name));
      int pid;
      if (text.ok() && absl::EndsWith(*text, "\n") && absl::SimpleAtoi(absl::StripSuffix(*text, "\n"), &pid))
        return pid;
      absl::SleepFor(absl::Milliseconds(5));
    }
    ADD_FAILURE() << "no pid in " << name;
    return 0;
  }
  static bool Ends(pid_t pid) {
    for (int i = 0; i < 1000; ++i) {
      // A zombie has ended, too.
      const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
      if (!stat.ok() || absl::StrContains(*stat, ") Z ")) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }

  std::string folder_;
  LocalBackend backend_;
  std::vector<std::pair<int, StageEvent>> events_;
};

TEST_F(LocalBackendTest, Success) {
  GangSpec spec = Shell("echo to stdout; echo to stderr >&2; pwd; env | sort; cat gang.json");
  spec.environment.push_back("A=b c");
  const GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kEnded);
  EXPECT_EQ(result.first_failed_rank, -1);
  ASSERT_EQ(result.rank.size(), 1);
  EXPECT_EQ(result.rank[0].exit_status, 0);
  EXPECT_GT(result.rank[0].peak_memory_bytes, 100'000);
  EXPECT_EQ(Log(),
            absl::StrCat("to stdout\nto stderr\n", folder_, "\nA=b c\nHOME=", folder_,
                         "\nMILLRACE_EVENTS=events.0\nMILLRACE_GANG=gang.json\nPATH=/usr/bin:/bin\nPWD=", folder_, "\n",
                         R"({"run_id":"run","rank":0,"world_size":1,"local_rank":0,"local_world_size":1})"));
}

TEST_F(LocalBackendTest, ExitStatusAndSignal) {
  EXPECT_EQ(Run(Shell("exit 7")).rank[0].exit_status, 7);
  const GangResult killed = Run(Shell("kill -SEGV $$"));
  EXPECT_EQ(killed.rank[0].exit_status, -1);
  EXPECT_EQ(killed.rank[0].signal, SIGSEGV);
  EXPECT_EQ(killed.first_failed_rank, 0);
}

TEST_F(LocalBackendTest, WhatCannotBeStarted) {
  GangSpec spec = Shell("");
  spec.argument[0] = JoinPath(folder_, "none");
  GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kNotStarted);
  EXPECT_EQ(result.message, absl::StrCat("start ", folder_, "/none: No such file or directory"));
  spec = Shell("", 3);
  spec.log_path[1] = JoinPath(folder_, "none/log");
  EXPECT_EQ(Run(spec).outcome, Outcome::kNotStarted);
  spec = Shell(std::string(1 << 20, '#'));
  EXPECT_EQ(backend_.Submit(spec).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Run(Shell("true")).outcome, Outcome::kEnded);
}

TEST_F(LocalBackendTest, TimeLimitIsSigtermThenSigkill) {
  GangSpec spec = Shell("trap 'echo terminated; exit 75' TERM; sleep 60 & wait");
  spec.time_limit = absl::Milliseconds(200);
  GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kTimedOut);
  EXPECT_EQ(result.rank[0].exit_status, 75);
  EXPECT_EQ(Log(), "terminated\n");
  spec = Shell("trap '' TERM; sleep 60 & wait; wait; sleep 60");
  spec.time_limit = absl::Milliseconds(200);
  spec.grace = absl::Milliseconds(200);
  result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kTimedOut);
  EXPECT_EQ(result.rank[0].signal, SIGKILL);
  EXPECT_LT(result.seconds, 5);
}

TEST_F(LocalBackendTest, CancelAndKill) {
  for (const bool kill : {false, true}) {
    auto gang = *backend_.Submit(Shell("trap 'exit 75' TERM; echo $$ > pid; sleep 60 & wait"));
    const pid_t pid = PidIn("pid");
    kill ? gang->Kill() : gang->Cancel();
    const GangResult result = Finish(*gang);
    EXPECT_EQ(result.outcome, Outcome::kCancelled);
    EXPECT_EQ(result.rank[0].exit_status, kill ? -1 : 75);
    EXPECT_TRUE(Ends(pid));
    ASSERT_EQ(::unlink(JoinPath(folder_, "pid").c_str()), 0);
  }
}

TEST_F(LocalBackendTest, EventsAreHandedOnAsTheyCome) {
  auto gang = *backend_.Submit(Shell(R"(
      echo '{"progress":{"done":1,"unit":"steps"}}' >> $MILLRACE_EVENTS
      while [ ! -e go ]; do sleep 0.01; done
      printf '{"metric":{"name":"loss","va' >> $MILLRACE_EVENTS
      printf 'lue":5.5,"step":"40"}}\nnonsense\n{"warning":"x"}' >> $MILLRACE_EVENTS)"));
  for (int i = 0; i < 100 && events_.empty(); ++i) {
    EXPECT_FALSE(
        gang->Wait(absl::Milliseconds(20), [&](int rank, const StageEvent& e) { events_.emplace_back(rank, e); })
            ->has_value());
  }
  ASSERT_EQ(events_.size(), 1);
  EXPECT_EQ(events_[0].second.progress().unit(), "steps");
  ASSERT_TRUE(WriteFile(JoinPath(folder_, "go"), "").ok());
  Finish(*gang);
  ASSERT_EQ(events_.size(), 4);
  EXPECT_EQ(events_[1].second.metric().step(), 40);
  EXPECT_TRUE(absl::StrContains(events_[2].second.warning(), "nonsense"));
  EXPECT_EQ(events_[3].second.warning(), "x");
}

TEST_F(LocalBackendTest, AGangHasRanksThatFindEachOther) {
  GangSpec spec = Shell(
      "echo $RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $MILLRACE_GANG;"
      "echo '{\"warning\":\"from '$RANK'\"}' > $MILLRACE_EVENTS",
      3);
  spec.torchrun_variables = true;
  const GangResult result = Run(spec);
  EXPECT_EQ(result.first_failed_rank, -1);
  ASSERT_EQ(result.rank.size(), 3);
  EXPECT_EQ(Log(2), absl::StrCat("2 2 3 ", Log(0).substr(6, Log(0).find(' ', 6) - 6), " gang.2.json\n"));
  ASSERT_EQ(events_.size(), 3);
  EXPECT_EQ(events_[1].first, 1);
  EXPECT_EQ(events_[1].second.warning(), "from 1");
}

TEST_F(LocalBackendTest, OneRankThatFailsEndsTheGang) {
  GangSpec spec = Shell("if [ $RANK = 1 ]; then sleep 0.1; exit 3; fi; sleep 60 & wait", 3);
  spec.torchrun_variables = true;
  const GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kEnded);
  EXPECT_EQ(result.first_failed_rank, 1);
  EXPECT_EQ(result.rank[1].exit_status, 3);
  EXPECT_EQ(result.rank[0].signal, SIGTERM);
  EXPECT_LT(result.seconds, 5);
}

TEST_F(LocalBackendTest, NothingIsLeftBehind) {
  Run(Shell("sleep 60 & echo $! > in_group"));
  EXPECT_TRUE(Ends(PidIn("in_group")));
  Run(Shell("setsid sh -c 'echo $$ > detached; exec sleep 60' & while [ ! -s detached ]; do :; done"));
  EXPECT_TRUE(Ends(PidIn("detached")));
  // An abandoned gang ends, too.
  {
    auto gang = *backend_.Submit(Shell("echo $$ > abandoned; exec sleep 60"));
    PidIn("abandoned");
  }
  EXPECT_TRUE(Ends(PidIn("abandoned")));
}

TEST_F(LocalBackendTest, MemoryIsBoundedWhereAsked) {
  GangSpec spec = Shell("head -c 400000000 /dev/zero | tail -c 399999999 | wc -c");
  EXPECT_EQ(Run(spec).rank[0].exit_status, 0);
  spec.memory_bytes = 100 << 20;
  Run(spec);
  EXPECT_TRUE(absl::StrContains(Log(), "memory exhausted")) << Log();
}

TEST_F(LocalBackendTest, StagesEndWithTheExecutorHoweverItEnds) {
  for (const int signal : {SIGKILL, SIGTERM}) {
    const pid_t executor = ::fork();
    if (executor == 0) {
      LocalBackend backend;
      auto gang = *backend.Submit(Shell("echo $$ > rank; trap '' TERM; sleep 60 & echo $! > child; wait; sleep 60"));
      ::pause();
    }
    const pid_t rank = PidIn("rank"), child = PidIn("child");
    ASSERT_EQ(::kill(executor, signal), 0);
    ASSERT_EQ(::waitpid(executor, nullptr, 0), executor);
    EXPECT_TRUE(Ends(rank));
    EXPECT_TRUE(Ends(child));
    ::unlink(JoinPath(folder_, "rank").c_str());
    ::unlink(JoinPath(folder_, "child").c_str());
  }
}

TEST_F(LocalBackendTest, ALostSupervisorEndsItsStagesAndSaysSo) {
  auto gang = *backend_.Submit(Shell("echo $PPID > supervisor; echo $$ > rank; exec sleep 60"));
  const pid_t rank = PidIn("rank");
  ASSERT_EQ(::kill(PidIn("supervisor"), SIGKILL), 0);
  const auto result = gang->Wait(absl::Seconds(10), [](int, const StageEvent&) {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Ends(rank));
}

}  // namespace
}  // namespace millrace
