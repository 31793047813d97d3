// What happens to jobs on a real Slurm cluster: several nodes, GPUs, preemption, nodes and daemons that go and come.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "tests/backends/slurm_bed.h"

namespace millrace {
namespace {

using Outcome = GangResult::Outcome;

class SlurmFaults : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    skip_reason_ = new std::string(SlurmCluster::SkipReason());
    if (skip_reason_->empty()) cluster_ = new SlurmCluster("mv", "10.78.2");
  }
  static void TearDownTestSuite() {
    delete cluster_;
    delete skip_reason_;
  }
  void SetUp() override {
    if (cluster_ == nullptr) {
      std::printf("SKIPPED: %s\n", skip_reason_->c_str());
      GTEST_SKIP() << *skip_reason_;
    }
    ASSERT_TRUE(cluster_->status().ok()) << cluster_->status();
    side_ = JoinPath(cluster_->folder(), testing::UnitTest::GetInstance()->current_test_info()->name());
    ASSERT_TRUE(CreateDirectories(side_).ok());
    options_ = cluster_->Options();
  }
  void Start() { backend_ = *SlurmBackend::Create(options_); }

  GangSpec Shell(const std::string& script, int ranks = 1, int nodes = 1) {
    GangSpec spec;
    spec.stage = "test";
    spec.id = absl::StrCat("gang-", next_++);
    spec.work_folder = JoinPath(side_, spec.id);
    EXPECT_TRUE(CreateDirectories(spec.work_folder).ok());
    spec.argument = {"/bin/sh", "-c", absl::StrCat("hostname > $SIDE/host.${RANK:-0}; ", script)};
    spec.environment = {"PATH=/usr/bin:/bin", absl::StrCat("SIDE=", side_)};
    spec.ranks = ranks;
    spec.nodes = nodes;
    spec.torchrun_variables = ranks > 1;
    for (int rank = 0; rank < ranks; ++rank) spec.log_path.push_back(absl::StrCat(spec.work_folder, "/log.", rank));
    return spec;
  }
  absl::StatusOr<GangResult> Finish(Gang& gang, absl::Duration patience = absl::Minutes(2)) {
    const absl::Time deadline = absl::Now() + patience;
    while (absl::Now() < deadline) {
      const auto result = gang.Wait(absl::Milliseconds(100), [](int, const StageEvent&) {});
      if (!result.ok()) return result.status();
      if (result->has_value()) return **result;
    }
    return absl::DeadlineExceededError("the gang does not end");
  }
  std::string Side(const std::string& name) const { return ReadFile(JoinPath(side_, name)).value_or(""); }
  bool Comes(const std::string& name) const {
    for (int i = 0; i < 6000 && Side(name).empty(); ++i) absl::SleepFor(absl::Milliseconds(20));
    return !Side(name).empty();
  }
  void Go() { ASSERT_TRUE(WriteFile(JoinPath(side_, "go"), "").ok()); }
  std::string Host(int rank = 0) const {
    return std::string(absl::StripSuffix(Side(absl::StrCat("host.", rank)), "\n"));
  }
  std::string JobNumber() const { return cluster_->Bed("run squeue -h -o %A"); }

  static constexpr char kUntilGo[] = "while [ ! -e $SIDE/go ]; do sleep 0.05; done; echo done > $SIDE/done";

  static SlurmCluster* cluster_;
  static std::string* skip_reason_;
  std::string side_;
  SlurmOptions options_;
  std::unique_ptr<SlurmBackend> backend_;
  int next_ = 0;
};

SlurmCluster* SlurmFaults::cluster_ = nullptr;
std::string* SlurmFaults::skip_reason_ = nullptr;

TEST_F(SlurmFaults, FourRanksOnTwoNodesWithGpus) {
  Start();
  GangSpec spec = Shell(R"(
      echo $RANK $LOCAL_RANK $NODE_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR $CUDA_VISIBLE_DEVICES
      exec python3 -c '
import os, socket, time
meet = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if os.environ["RANK"] == "0":
    with socket.create_server(("", meet[1])) as s:
        for _ in range(3): s.accept()
else:
    for _ in range(300):
        try:
            socket.create_connection(meet)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
')",
                        4, 2);
  spec.cpus_per_rank = 2;
  spec.gpus_per_rank = 2;
  const absl::StatusOr<GangResult> result = Finish(**backend_->Submit(spec));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_failed_rank, -1) << *ReadFile(spec.log_path[0]);
  EXPECT_EQ(Host(0), Host(1));
  EXPECT_EQ(Host(2), Host(3));
  EXPECT_NE(Host(0), Host(2));
  const char* expected[] = {"0 0 0 4 2", "1 1 0 4 2", "2 0 1 4 2", "3 1 1 4 2"};
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_EQ(*ReadFile(spec.log_path[rank]), absl::StrCat(expected[rank], " ", Host(0), " 0,1,2,3\n"));
}

TEST_F(SlurmFaults, ThreeRanksOnTwoNodes) {
  Start();
  const GangSpec spec = Shell("echo $LOCAL_RANK $LOCAL_WORLD_SIZE", 3, 2);
  EXPECT_EQ(Finish(**backend_->Submit(spec))->first_failed_rank, -1);
  EXPECT_EQ(Host(0), Host(1));
  EXPECT_NE(Host(0), Host(2));
  const char* expected[] = {"0 2\n", "1 2\n", "0 1\n"};
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(ReadFile(spec.log_path[rank]).value_or(""), expected[rank]);
}

TEST_F(SlurmFaults, EachStageOfAnArrayHasAGpuOfItsOwn) {
  Start();
  std::vector<std::unique_ptr<Gang>> gangs;
  std::vector<GangSpec> specs;
  for (int i = 0; i < 8; ++i) {
    specs.push_back(Shell("echo $(hostname)/$CUDA_VISIBLE_DEVICES; " + std::string(kUntilGo)));
    specs.back().gpus_per_rank = 1;
    gangs.push_back(*backend_->Submit(specs.back()));
  }
  std::set<std::string> devices;
  for (const GangSpec& spec : specs) {
    for (int i = 0; i < 3000 && ReadFile(spec.log_path[0]).value_or("").empty(); ++i)
      absl::SleepFor(absl::Milliseconds(20));
    devices.insert(ReadFile(spec.log_path[0]).value_or(""));
  }
  Go();
  for (auto& gang : gangs) EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
  EXPECT_EQ(devices.size(), 8);  // all eight at a time
}

TEST_F(SlurmFaults, APreemptedGangIsNotFailed) {
  Start();
  auto gang =
      *backend_->Submit(Shell("echo $RANK > $SIDE/runs.$RANK; trap 'echo saved > $SIDE/saved; exit 75' TERM; "
                              "sleep 600 & wait",
                              3, 3));
  EXPECT_TRUE(Comes("runs.0") && Comes("runs.2"));
  const std::string other =
      cluster_->Bed("run sbatch --parsable -p high -N3 --exclusive -o /dev/null --chdir=/tmp --wrap 'sleep 2'");
  const absl::StatusOr<GangResult> result = Finish(*gang);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outcome, Outcome::kPreempted);
  EXPECT_TRUE(absl::EndsWith(result->message, "was preempted")) << result->message;
  std::printf("%s\n", result->message.c_str());
  // The next one waits until the other job has ended.
  EXPECT_EQ(Finish(**backend_->Submit(Shell("exit 0", 3, 3)))->first_failed_rank, -1);
}

TEST_F(SlurmFaults, ARequeuedGangRunsOnce) {
  Start();
  auto gang = *backend_->Submit(Shell("echo started >> $SIDE/starts; sleep 600"));
  EXPECT_TRUE(Comes("starts"));
  const std::string job = JobNumber();
  cluster_->Bed(absl::StrCat("run scontrol update job ", job, " Requeue=1"));
  cluster_->Bed(absl::StrCat("run scontrol requeue ", job));
  const absl::StatusOr<GangResult> result = Finish(*gang);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outcome, Outcome::kPreempted);
  EXPECT_TRUE(absl::StrContains(result->message, "was put back into the queue")) << result->message;
  for (int i = 0; i < 200 && !JobNumber().empty(); ++i) absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(JobNumber(), "");
  EXPECT_EQ(Side("starts"), "started\n");
}

TEST_F(SlurmFaults, ADrainedNodeEndsWhatItHas) {
  Start();
  auto gang = *backend_->Submit(Shell(kUntilGo));
  EXPECT_TRUE(Comes("host.0"));
  const std::string node = Host();
  cluster_->Bed(absl::StrCat("run scontrol update nodename=", node, " state=drain reason=test"));
  EXPECT_EQ(Finish(**backend_->Submit(Shell("exit 0")))->first_failed_rank, -1);
  EXPECT_NE(Host(), node);
  Go();
  EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
  cluster_->Bed(absl::StrCat("run scontrol update nodename=", node, " state=resume"));
}

TEST_F(SlurmFaults, JobsGoOnWithoutSlurmctld) {
  Start();
  auto gang = *backend_->Submit(Shell(kUntilGo, 2, 2));
  EXPECT_TRUE(Comes("host.0") && Comes("host.1"));
  cluster_->Bed("ctl stop");
  auto next = *backend_->Submit(Shell("echo $$ > $SIDE/next"));
  Go();
  // Its end is known without it.
  EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
  EXPECT_FALSE(next->Wait(absl::Seconds(3), [](int, const StageEvent&) {})->has_value());
  cluster_->Bed("ctl start");
  EXPECT_EQ(Finish(*next)->first_failed_rank, -1);
  EXPECT_NE(Side("next"), "");
}

TEST_F(SlurmFaults, JobsGoOnWithoutSlurmd) {
  Start();
  auto gang = *backend_->Submit(Shell(kUntilGo));
  EXPECT_TRUE(Comes("host.0"));
  const std::string node = Host();
  cluster_->Bed("kill " + node);
  absl::SleepFor(absl::Seconds(2));
  cluster_->Bed("start " + node);
  absl::SleepFor(absl::Seconds(2));
  Go();
  EXPECT_EQ(Finish(*gang)->first_failed_rank, -1);
}

TEST_F(SlurmFaults, AGangThatLosesANodeIsLost) {
  Start();
  auto gang = *backend_->Submit(Shell("sleep 600", 2, 2));
  EXPECT_TRUE(Comes("host.0") && Comes("host.1"));
  const std::string node = Host(1);
  cluster_->Bed("lose " + node);
  const absl::Time lost = absl::Now();
  const auto result = Finish(*gang);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
  std::printf("after %.0f s: %s\n", absl::ToDoubleSeconds(absl::Now() - lost),
              std::string(result.status().message()).c_str());
  cluster_->Bed("heal " + node);
}

TEST_F(SlurmFaults, AGangIsCancelledWithinItsGrace) {
  Start();
  GangSpec spec = Shell("trap 'echo $RANK >> $SIDE/saved; exit 75' TERM; sleep 600 & wait", 2, 2);
  auto gang = *backend_->Submit(spec);
  EXPECT_TRUE(Comes("host.0") && Comes("host.1"));
  gang->Cancel();
  GangResult result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_EQ(result.rank[0].exit_status, 75);
  EXPECT_EQ(result.rank[1].exit_status, 75);
  // One that does not listen.
  spec = Shell("trap '' TERM; echo deaf > $SIDE/deaf; sleep 600 & wait; sleep 600");
  spec.grace = absl::Seconds(1);
  gang = *backend_->Submit(spec);
  EXPECT_TRUE(Comes("deaf"));
  gang->Cancel();
  result = *Finish(*gang);
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_EQ(result.rank[0].signal, SIGKILL);
}

TEST_F(SlurmFaults, AKilledExecutorFindsItsGangOfTwoNodes) {
  const GangSpec spec = Shell(absl::StrCat("echo started >> $SIDE/starts.$RANK; ", kUntilGo), 2, 2);
  const pid_t executor = ::fork();
  if (executor == 0) {
    auto backend = *SlurmBackend::Create(options_);
    auto gang = *backend->Submit(spec);
    while (true) gang->Wait(absl::Seconds(1), [](int, const StageEvent&) {}).IgnoreError();
  }
  EXPECT_TRUE(Comes("starts.0") && Comes("starts.1"));
  ASSERT_EQ(::kill(executor, SIGKILL), 0);
  ASSERT_EQ(::waitpid(executor, nullptr, 0), executor);
  Start();
  auto adopted = backend_->Adopt(spec);
  ASSERT_TRUE(adopted.ok() && *adopted != nullptr) << adopted.status();
  Go();
  EXPECT_EQ(Finish(**adopted)->first_failed_rank, -1);
  EXPECT_EQ(Side("starts.0") + Side("starts.1"), "started\nstarted\n");
}

TEST_F(SlurmFaults, TheSignalBeforeTheLimitReachesAllRanks) {
  options_.cluster.mutable_pool(0)->set_time_limit("1m");
  Start();
  const absl::Time began = absl::Now();
  auto gang = *backend_->Submit(Shell("trap 'echo saved > $SIDE/saved.$RANK; exit 75' TERM; sleep 600 & wait", 2, 2));
  const GangResult result = *Finish(*gang, absl::Minutes(3));
  EXPECT_EQ(result.outcome, Outcome::kTimeSlice) << result.message;
  std::printf("after %.0f s: %s\n", absl::ToDoubleSeconds(absl::Now() - began), result.message.c_str());
  EXPECT_EQ(Side("saved.0") + Side("saved.1"), "saved\nsaved\n");
}

TEST_F(SlurmFaults, ManyStagesAreFewCalls) {
  Start();
  std::vector<std::unique_ptr<Gang>> gangs;
  for (int i = 0; i < 150; ++i) gangs.push_back(*backend_->Submit(Shell("echo ran >> $SIDE/ran")));
  for (auto& gang : gangs) EXPECT_EQ(Finish(*gang, absl::Minutes(4))->first_failed_rank, -1);
  EXPECT_EQ(Side("ran").size(), 4 * 150);
  int sum = 0;
  for (const auto& [command, count] : backend_->calls()) {
    std::printf("%s %d\n", command.c_str(), count);
    sum += count;
  }
  EXPECT_LE(sum, 75);
}

}  // namespace
}  // namespace millrace
