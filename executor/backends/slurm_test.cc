// Against stand-ins for Slurm's commands (testdata/fake_slurm.py); tests/backends has the real ones.
#include "executor/backends/slurm.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"

namespace millrace {
namespace {

using Outcome = GangResult::Outcome;

class SlurmTest : public testing::Test {
 protected:
  void SetUp() override {
    // In memory where there is such a place: tens of thousands of small files are slow on a disk.
    char in_memory[] = "/dev/shm/slurm_test.XXXXXX";
    folder_ = ::mkdtemp(in_memory) != nullptr ? in_memory : *MakeTempDirectory("slurm_test");
    bin_ = JoinPath(folder_, "bin");
    ASSERT_TRUE(CreateDirectories(JoinPath(bin_, "state")).ok());
    const std::string fake = *ReadFile("executor/backends/testdata/fake_slurm.py");
    ASSERT_TRUE(WriteFile(JoinPath(bin_, "fake"), fake).ok());
    ASSERT_EQ(::chmod(JoinPath(bin_, "fake").c_str(), 0755), 0);
    for (const char* name : {"sbatch", "squeue", "sacct", "scontrol", "scancel", "srun", "admin"})
      ASSERT_EQ(::symlink("fake", JoinPath(bin_, name).c_str()), 0);
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        R"(name: "fake" slurm {} pool { name: "cpu" cpus: 8 accelerator { count: 4 memory: "1" } })",
        &options_.cluster));
    options_.folder = JoinPath(folder_, "slurm");
    options_.commands = bin_;
    options_.haste = 20;
  }
  void TearDown() override {
    backend_.reset();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  void Start() { backend_ = *SlurmBackend::Create(options_); }

  void Set(const std::string& flag, const std::string& text = "") {
    ASSERT_TRUE(WriteFile(absl::StrCat(bin_, "/state/", flag), text).ok());
  }
  void Clear(const std::string& flag) { ::unlink(absl::StrCat(bin_, "/state/", flag).c_str()); }
  void Admin(const std::string& word, int job = 17) {
    ASSERT_EQ(std::system(absl::StrCat(bin_, "/admin ", word, " ", job).c_str()), 0);
  }

  GangSpec Shell(const std::string& script, int ranks = 1) {
    GangSpec spec;
    spec.stage = "test";
    spec.id = absl::StrCat("run-test-", next_++);
    spec.work_folder = JoinPath(folder_, spec.id);
    EXPECT_TRUE(CreateDirectories(spec.work_folder).ok());
    spec.argument = {"/bin/sh", "-c", script};
    spec.environment = {"PATH=/usr/bin:/bin", absl::StrCat("SIDE=", folder_)};
    spec.ranks = ranks;
    spec.nodes = ranks % 2 == 0 ? 2 : 1;
    spec.grace = absl::Seconds(1);
    for (int rank = 0; rank < ranks; ++rank) spec.log_path.push_back(absl::StrCat(spec.work_folder, "/log.", rank));
    return spec;
  }
  absl::StatusOr<GangResult> Finish(Gang& gang) {
    for (int i = 0; i < 600; ++i) {
      const auto result = gang.Wait(absl::Milliseconds(50), [&](int, const StageEvent& event) {
        if (event.has_warning()) warnings_.push_back(event.warning());
      });
      if (!result.ok()) return result.status();
      if (result->has_value()) return **result;
    }
    return absl::DeadlineExceededError("the gang does not end");
  }
  std::string Side(const std::string& name) const { return ReadFile(JoinPath(folder_, name)).value_or(""); }
  bool Comes(const std::string& name) const {
    for (int i = 0; i < 1000 && Side(name).empty(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return !Side(name).empty();
  }
  // Starts a stage that says when it runs, and waits for that.
  std::unique_ptr<Gang> Running(const std::string& script = "trap 'exit 75' TERM; sleep 600 & wait") {
    auto gang = *backend_->Submit(Shell(absl::StrCat("echo running >> $SIDE/running; ", script)));
    EXPECT_TRUE(Comes("running"));
    return gang;
  }

  std::string folder_, bin_;
  SlurmOptions options_;
  std::unique_ptr<SlurmBackend> backend_;
  std::vector<std::string> warnings_;
  int next_ = 0;
};

TEST_F(SlurmTest, AGangOverTwoNodes) {
  Set("gpus");
  Start();
  GangSpec spec = Shell("env | grep -v -e ^PWD -e ^SIDE | sort; cat $MILLRACE_GANG", 4);
  spec.torchrun_variables = true;
  spec.gpus_per_rank = 2;
  const absl::StatusOr<GangResult> result = Finish(**backend_->Submit(spec));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_failed_rank, -1);
  EXPECT_EQ(
      ReadFile(spec.log_path[3]).value_or(""),
      "CUDA_VISIBLE_DEVICES=0,1\nGROUP_RANK=1\nLOCAL_RANK=1\nLOCAL_WORLD_SIZE=2\nMASTER_ADDR=localhost\nMASTER_PORT="
      "20017\n"
      "MILLRACE_EVENTS=events.3\nMILLRACE_GANG=gang.3.json\nNODE_RANK=1\nPATH=/usr/bin:/bin\nRANK=3\nWORLD_SIZE=4\n"
      R"({"rank":3,"world_size":4,"local_rank":1,"local_world_size":2,"master_address":"localhost",)"
      R"("master_port":20017})");
  // Nothing is left of the job's files.
  EXPECT_EQ(ListFiles(options_.folder)->size(), 1);
}

TEST_F(SlurmTest, TenThousandShortStagesAreFewCalls) {
  Set("instant");
  Start();
  std::vector<std::unique_ptr<Gang>> gangs;
  for (int i = 0; i < 10'000; ++i) gangs.push_back(*backend_->Submit(Shell("")));
  int num_ended = 0;
  const absl::Time deadline = absl::Now() + absl::Minutes(8);
  while (num_ended < 10'000 && absl::Now() < deadline) {
    for (auto& gang : gangs) {
      if (gang == nullptr) continue;
      const auto result = gang->Wait(absl::ZeroDuration(), [](int, const StageEvent&) {});
      ASSERT_TRUE(result.ok()) << result.status();
      if (!result->has_value()) continue;
      EXPECT_EQ((*result)->first_failed_rank, -1);
      ++num_ended;
      gang.reset();
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(num_ended, 10'000);
  int sum = 0;
  for (const auto& [command, count] : backend_->calls()) {
    std::printf("%s %d\n", command.c_str(), count);
    sum += count;
  }
  EXPECT_LE(sum, 300);
  // Never more in the queue than allowed.
  const std::vector<std::string> sizes = absl::StrSplit(*ReadFile(JoinPath(bin_, "state/sizes")), '\n');
  for (const std::string& size : sizes) EXPECT_LE(std::atoi(size.c_str()), 200);
}

TEST_F(SlurmTest, PreemptedIsNotFailed) {
  Start();
  auto gang = Running();
  Admin("preempt");
  const GangResult result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kPreempted);
  EXPECT_EQ(result.message, "job 17 on n1 was preempted");
}

TEST_F(SlurmTest, ARequeuedJobDoesNotRunAgain) {
  Start();
  auto gang = Running();
  Admin("requeue");
  const GangResult result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kPreempted);
  EXPECT_TRUE(absl::StrContains(result.message, "was put back into the queue")) << result.message;
  absl::SleepFor(absl::Seconds(4));
  EXPECT_EQ(Side("running"), "running\n");
}

TEST_F(SlurmTest, ALostNode) {
  Start();
  auto gang = Running();
  Admin("nodefail");
  const absl::Status status = Finish(*gang).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StartsWith(status.message(), "job 17 on n1 was lost\n  why: a node does not answer (NODE_FAIL)"))
      << status;
}

TEST_F(SlurmTest, OutOfMemory) {
  Start();
  auto gang = Running("exec sleep 600");
  Admin("oom");
  const GangResult result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kEnded);
  EXPECT_EQ(result.rank[0].signal, SIGKILL);
  EXPECT_TRUE(absl::StrContains(result.message, "ran out of memory (OUT_OF_MEMORY)")) << result.message;
}

TEST_F(SlurmTest, CancelledByAnother) {
  Set("accounting");
  Start();
  auto gang = Running();
  ASSERT_EQ(std::system(absl::StrCat(bin_, "/scancel 17").c_str()), 0);
  const GangResult result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_EQ(result.message, "job 17 on n1 was cancelled by user 1000");
}

TEST_F(SlurmTest, TheSignalBeforeTheLimitIsATimeSlice) {
  options_.cluster.mutable_pool(0)->set_time_limit("120");
  Start();
  auto gang = Running("trap 'echo saved > $SIDE/checkpoint; exit 75' TERM; sleep 600 & wait");
  Admin("timelimit");
  const GangResult result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kTimeSlice);
  EXPECT_TRUE(absl::StrContains(result.message, " reached the time limit of one job, 2 min 00 s")) << result.message;
  EXPECT_EQ(result.rank[0].exit_status, 75);
  EXPECT_EQ(Side("checkpoint"), "saved\n");
}

TEST_F(SlurmTest, AForgottenJobIsNamed) {
  Start();
  auto gang = Running();
  Admin("forget");
  Admin("nodefail");
  const absl::Status status = Finish(*gang).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(status.message(), "is not known to Slurm any more")) << status;
}

TEST_F(SlurmTest, JobsGoOnWhileTheControllerIsAway) {
  options_.haste = 100;
  Start();
  auto gang = Running("while [ ! -e $SIDE/go ]; do sleep 0.02; done");
  Set("away");
  for (int i = 0; i < 600 && (i < 20 || warnings_.empty()); ++i)
    gang->Wait(absl::Milliseconds(50), [&](int, const StageEvent& e) { warnings_.push_back(e.warning()); }).value();
  const int calls = backend_->calls()["squeue"];
  EXPECT_LT(calls, 25);  // in a hundred seconds and more, at the test's haste
  ASSERT_EQ(warnings_.size(), 1);
  EXPECT_TRUE(absl::StrContains(warnings_[0], "controller does not answer")) << warnings_[0];
  EXPECT_TRUE(absl::StrContains(warnings_[0], "jobs go on")) << warnings_[0];
  ASSERT_TRUE(WriteFile(JoinPath(folder_, "go"), "").ok());
  // It ends without a word of the controller's.
  EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
  // What is submitted now waits until it is back.
  auto next = *backend_->Submit(Shell("exit 3"));
  next->Wait(absl::Milliseconds(300), [](int, const StageEvent&) {}).value();
  Clear("away");
  Set("busy");
  next->Wait(absl::Milliseconds(300), [](int, const StageEvent&) {}).value();
  Clear("busy");
  EXPECT_EQ(Finish(*next)->rank[0].exit_status, 3);
}

TEST_F(SlurmTest, AnAnswerThatIsLostMakesNoSecondJob) {
  Set("lost");
  Start();
  auto gang = *backend_->Submit(Shell("echo ran >> $SIDE/ran; sleep 1"));
  EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
  EXPECT_EQ(Side("ran"), "ran\n");
  EXPECT_EQ(backend_->calls()["sbatch"], 1);
}

TEST_F(SlurmTest, ARefusedJobSaysWhy) {
  Set("refuse");
  Start();
  const GangResult result = *Finish(**backend_->Submit(Shell("")));
  EXPECT_EQ(result.outcome, Outcome::kNotStarted);
  EXPECT_TRUE(absl::StartsWith(result.message,
                               "Slurm refuses the job\n  why: sbatch: error: invalid partition specified: h800"))
      << result.message;
}

TEST_F(SlurmTest, AFullQueueTakesThemInParts) {
  Set("max_submit", "3");
  Start();
  std::vector<std::unique_ptr<Gang>> gangs;
  for (int i = 0; i < 10; ++i) gangs.push_back(*backend_->Submit(Shell("echo ran >> $SIDE/ran")));
  for (auto& gang : gangs) EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
  EXPECT_EQ(Side("ran").size(), 40);
}

TEST_F(SlurmTest, WhatWaitsInTheQueueIsWithdrawn) {
  Set("hold");
  Start();
  auto first = *backend_->Submit(Shell("echo ran >> $SIDE/ran"));
  auto second = *backend_->Submit(Shell("echo ran >> $SIDE/ran"));
  while (backend_->calls()["sbatch"] == 0) absl::SleepFor(absl::Milliseconds(10));
  absl::SleepFor(absl::Milliseconds(300));
  first->Cancel();
  EXPECT_EQ(Finish(*first)->outcome, Outcome::kCancelled);
  Clear("hold");
  EXPECT_EQ(Finish(*second)->first_failed_rank, -1);
  EXPECT_EQ(Side("ran"), "ran\n");
}

// What an executor leaves that is killed between sbatch and its answer.
TEST_F(SlurmTest, AfterAKillTheJobIsFoundByItsNameOrNeverRuns) {
  for (const bool visible : {true, false}) {
    Set("hold");
    const GangSpec spec = Shell(absl::StrCat("echo ran >> $SIDE/ran", visible));
    const pid_t executor = ::fork();
    if (executor == 0) {
      auto backend = *SlurmBackend::Create(options_);
      auto gang = *backend->Submit(spec);
      while (true) gang->Wait(absl::Seconds(1), [](int, const StageEvent&) {}).IgnoreError();
    }
    std::string job;
    const std::string batch_file = JoinPath(spec.work_folder, "slurm.batch");
    std::string folder;
    for (int i = 0; i < 1000 && job.empty(); ++i) {
      absl::SleepFor(absl::Milliseconds(10));
      const std::vector<std::string> lines = absl::StrSplit(ReadFile(batch_file).value_or(""), '\n');
      folder = JoinPath(options_.folder, lines[0]);
      job = ReadFile(JoinPath(folder, "job")).value_or("");
    }
    ASSERT_NE(job, "");
    ASSERT_EQ(::kill(executor, SIGKILL), 0);
    ASSERT_EQ(::waitpid(executor, nullptr, 0), executor);
    ASSERT_EQ(::unlink(JoinPath(folder, "job").c_str()), 0);
    if (!visible) Admin("forget", std::atoi(job.c_str()));
    Start();
    auto adopted = backend_->Adopt(spec);
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_EQ(*adopted != nullptr, visible);
    Clear("hold");
    if (visible) {
      EXPECT_EQ(Finish(**adopted)->first_failed_rank, -1);
    } else {
      absl::SleepFor(absl::Seconds(1));
    }
    EXPECT_EQ(Side(absl::StrCat("ran", visible)), visible ? "ran\n" : "");
  }
}

}  // namespace
}  // namespace millrace
