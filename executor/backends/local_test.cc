// What is particular to stages that are processes of this machine; the rest is in tests/backends.
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
    for (int rank = 0; rank < ranks; ++rank) spec.log_path.push_back(absl::StrCat(folder_, "/log", rank));
    return spec;
  }
  GangResult Finish(Gang& gang) {
    for (int i = 0; i < 200; ++i) {
      const auto result = gang.Wait(absl::Milliseconds(100), [](int, const StageEvent&) {});
      EXPECT_TRUE(result.ok()) << result.status();
      if (result->has_value()) return **result;
    }
    ADD_FAILURE() << "the gang does not end";
    return {};
  }
  GangResult Run(const GangSpec& spec) { return Finish(**backend_.Submit(spec)); }
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
};

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
