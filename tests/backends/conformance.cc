// Stages are shell scripts. What they leave beside their working folder ("$SIDE") shows what really ran, and where.
#include "tests/backends/conformance.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/cas/tree.h"

namespace millrace {
namespace {

using Outcome = GangResult::Outcome;

BackendBed& Bed() {
  static BackendBed* const bed = MakeBed().release();
  return *bed;
}

bool HasEnded(pid_t pid) {
  // A zombie has ended, too.
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  return !stat.ok() || absl::StrContains(*stat, ") Z ");
}

class BackendConformance : public testing::Test {
 protected:
  static void TearDownTestSuite() { delete &Bed(); }

  void SetUp() override {
    if (const std::string reason = Bed().skip_reason(); !reason.empty()) {
      std::printf("SKIPPED: %s\n", reason.c_str());
      GTEST_SKIP() << reason;
    }
    static int number = 0;
    side_ = absl::StrCat(Bed().folder(), "/", ++number);
    ASSERT_TRUE(CreateDirectories(side_).ok());
    // Nodes may run as another user.
    ASSERT_EQ(::chmod(side_.c_str(), 0777), 0);
    Restart();
  }
  void TearDown() override {
    backend_.reset();
    if (undo_ != nullptr) undo_();
    EXPECT_TRUE(side_.empty() || RemoveTree(side_).ok());
  }

  // As a new executor.
  void Restart() {
    backend_.reset();
    absl::StatusOr<std::unique_ptr<Backend>> made = Bed().Make();
    ASSERT_TRUE(made.ok()) << made.status();
    backend_ = *std::move(made);
  }

  // A working folder as the engine makes it: an input, an empty output, a small file.
  GangSpec Shell(const std::string& script, int ranks = 1, const std::string& input = "an input\n") {
    const std::string name = absl::StrCat("gang-", ::getpid(), "-", next_gang_++);
    GangSpec spec;
    spec.stage = "test";
    spec.id = name;
    spec.work_folder = JoinPath(side_, name);
    EXPECT_TRUE(CreateDirectories(JoinPath(spec.work_folder, "in/from/folder")).ok());
    EXPECT_TRUE(CreateDirectories(JoinPath(spec.work_folder, "out/made")).ok());
    ::chmod(spec.work_folder.c_str(), 0777);
    ::chmod(JoinPath(spec.work_folder, "out/made").c_str(), 0777);
    EXPECT_TRUE(WriteFile(JoinPath(spec.work_folder, "in/from/folder/file"), input).ok());
    EXPECT_TRUE(WriteFile(JoinPath(spec.work_folder, "request.json"), "a request\n").ok());
    StagedFolder from = {.path = "in/from", .tree = {}};
    from.tree.files.push_back({"folder/file", Digest::Of(input), static_cast<int64_t>(input.size()), false});
    spec.inputs = {from};
    spec.outputs = {"out/made"};
    spec.argument = {"/bin/sh", "-c", script};
    spec.environment = {"PATH=/usr/bin:/bin", absl::StrCat("HOME=", spec.work_folder), absl::StrCat("SIDE=", side_)};
    spec.ranks = ranks;
    spec.gang.set_run_id("run");
    const std::vector<std::string> hosts = Bed().hosts();
    for (int rank = 0; rank < ranks; ++rank) {
      spec.log_path.push_back(absl::StrCat(spec.work_folder, "/log.", rank));
      // All but the last rank on the first host.
      if (!hosts.empty()) spec.hosts.push_back(rank > 0 && rank == ranks - 1 && hosts.size() > 1 ? hosts[1] : hosts[0]);
    }
    if (hosts.size() > 1 && ranks > 1) spec.nodes = 2;
    return spec;
  }
  // On the node that faults are made on.
  GangSpec ShellOnLastHost(const std::string& script, const std::string& input = "an input\n") {
    GangSpec spec = Shell(script, 1, input);
    if (!Bed().hosts().empty()) spec.hosts = {Bed().hosts().back()};
    return spec;
  }

  std::unique_ptr<Gang> Submit(const GangSpec& spec) {
    absl::StatusOr<std::unique_ptr<Gang>> gang = backend_->Submit(spec);
    EXPECT_TRUE(gang.ok()) << gang.status();
    return gang.ok() ? *std::move(gang) : nullptr;
  }
  GangResult Finish(Gang* gang) {
    if (gang == nullptr) return {};
    const absl::Time deadline = absl::Now() + Bed().patience;
    while (absl::Now() < deadline) {
      const auto result = gang->Wait(absl::Milliseconds(100), Sink());
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok()) return {};
      if (result->has_value()) return **result;
    }
    ADD_FAILURE() << "the gang does not end";
    return {};
  }
  GangResult Run(const GangSpec& spec) { return Finish(Submit(spec).get()); }
  // Waits until `good`; events are taken meanwhile.
  bool WaitUntil(Gang* gang, const std::function<bool()>& good) {
    const absl::Time deadline = absl::Now() + Bed().patience;
    while (!good()) {
      if (absl::Now() > deadline) return false;
      if (gang == nullptr) {
        absl::SleepFor(absl::Milliseconds(10));
      } else if (const auto result = gang->Wait(absl::Milliseconds(20), Sink()); !result.ok() || result->has_value()) {
        return good();
      }
    }
    return true;
  }
  Gang::EventSink Sink() {
    return [this](int rank, const StageEvent& event) {
      events_.emplace_back(rank, event);
      if (on_event_ != nullptr) on_event_(event);
    };
  }

  static std::string Log(const GangSpec& spec, int rank = 0) {
    return ReadFile(spec.log_path[rank]).value_or("(no log)");
  }
  std::string Side(const std::string& name) const { return ReadFile(JoinPath(side_, name)).value_or(""); }
  void Go(const std::string& name = "go") const { ASSERT_TRUE(WriteFile(JoinPath(side_, name), "").ok()); }
  // The process whose id a script has written to a file beside its folder.
  pid_t PidIn(const std::string& name) {
    int pid = 0;
    EXPECT_TRUE(WaitUntil(nullptr,
                          [&] {
                            const std::string text = Side(name);
                            return absl::EndsWith(text, "\n") && absl::SimpleAtoi(absl::StripSuffix(text, "\n"), &pid);
                          }))
        << "no pid in " << name;
    return pid;
  }
  bool Ends(pid_t pid) {
    return WaitUntil(nullptr, [&] { return HasEnded(pid); });
  }

  // Skips the test where the bed has no such fault.
  bool Inject(Fault fault) {
    undo_ = Bed().Inject(fault);
    if (undo_ != nullptr) return true;
    std::printf("SKIPPED: there is no such fault here\n");
    return false;
  }
  void Heal() {
    undo_();
    undo_ = nullptr;
  }
  // A gang that is sent to a broken node is refused with one message that names the node and what to do; once the node
  // is well again, so is the backend.
  void ExpectRefused(Fault fault, const std::string& input = "an input\n") {
    if (!Inject(fault)) GTEST_SKIP();
    GangSpec spec = ShellOnLastHost("echo ran > $SIDE/ran", input);
    if (fault == Fault::kUnknownNode) spec.hosts = {"no-such-host.invalid"};
    const absl::StatusOr<std::unique_ptr<Gang>> gang = backend_->Submit(spec);
    ASSERT_FALSE(gang.ok());
    const std::string message(gang.status().message());
    EXPECT_TRUE(absl::StrContains(message, spec.hosts[0])) << message;
    EXPECT_TRUE(absl::StrContains(message, "\n  why: ")) << message;
    EXPECT_TRUE(absl::StrContains(message, "\n  fix: ")) << message;
    std::printf("%s\n", message.c_str());
    EXPECT_EQ(Side("ran"), "");
    Heal();
    EXPECT_EQ(Run(ShellOnLastHost("exit 0")).first_failed_rank, -1);
  }

  std::string side_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::pair<int, StageEvent>> events_;
  std::function<void(const StageEvent&)> on_event_;
  std::function<void()> undo_;
  std::atomic<int> next_gang_ = 0;
};

TEST_F(BackendConformance, Success) {
  GangSpec spec = Shell(
      "echo to stdout; echo to stderr >&2; cat request.json in/from/folder/file; cat $MILLRACE_GANG; echo;"
      "mkdir out/made/deep && echo made > out/made/deep/file; : > out/made/empty; chmod +x out/made/empty");
  const GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kEnded);
  EXPECT_EQ(result.first_failed_rank, -1);
  ASSERT_EQ(result.rank.size(), 1);
  EXPECT_EQ(result.rank[0].exit_status, 0);
  EXPECT_GT(result.rank[0].peak_memory_bytes, 100'000);
  EXPECT_EQ(Log(spec),
            "to stdout\nto stderr\na request\nan input\n"
            R"({"run_id":"run","rank":0,"world_size":1,"local_rank":0,"local_world_size":1})"
            "\n");
  EXPECT_EQ(ReadFile(JoinPath(spec.work_folder, "out/made/deep/file")).value_or(""), "made\n");
  struct stat s;
  ASSERT_EQ(::stat(JoinPath(spec.work_folder, "out/made/empty").c_str(), &s), 0);
  EXPECT_TRUE((s.st_mode & 0100) != 0 && s.st_size == 0);
}

TEST_F(BackendConformance, TheEnvironmentIsTheOneThatWasGiven) {
  GangSpec spec = Shell("env > $SIDE/environment; pwd > $SIDE/folder; echo \"$0 $1\" > $SIDE/arguments");
  spec.environment.push_back("A=b  'c'\n\"$d");
  spec.argument.insert(spec.argument.end(), {"first", "a b\n'c'"});
  Run(spec);
  std::set<std::string> names;
  for (const absl::string_view line : absl::StrSplit(Side("environment"), '\n')) {
    if (absl::StrContains(line, '=')) names.emplace(line.substr(0, line.find('=')));
  }
  // The shell's own.
  for (const char* name : {"PWD", "OLDPWD", "SHLVL", "_"}) names.erase(name);
  EXPECT_EQ(names, (std::set<std::string>{"A", "HOME", "MILLRACE_EVENTS", "MILLRACE_GANG", "PATH", "SIDE"}));
  EXPECT_TRUE(absl::StrContains(Side("environment"), "A=b  'c'\n\"$d\n"));
  EXPECT_TRUE(absl::StrContains(Side("environment"), absl::StrCat("HOME=", Side("folder"))));
  EXPECT_EQ(Side("arguments"), "first a b\n'c'\n");
}

TEST_F(BackendConformance, ExitStatusAndSignal) {
  EXPECT_EQ(Run(Shell("exit 7")).rank.at(0).exit_status, 7);
  const GangResult killed = Run(Shell("kill -SEGV $$"));
  ASSERT_EQ(killed.rank.size(), 1);
  EXPECT_EQ(killed.rank[0].exit_status, -1);
  EXPECT_EQ(killed.rank[0].signal, SIGSEGV);
  EXPECT_EQ(killed.first_failed_rank, 0);
}

TEST_F(BackendConformance, WhatCannotBeStarted) {
  GangSpec spec = Shell("");
  spec.argument[0] = "/no/such/program";
  const GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kNotStarted);
  EXPECT_TRUE(absl::StrContains(result.message, "/no/such/program: No such file or directory")) << result.message;
  EXPECT_EQ(backend_->Submit(Shell(std::string(4 << 20, '#'))).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Run(Shell("true")).first_failed_rank, -1);
}

TEST_F(BackendConformance, TheTimeLimitIsSigtermThenSigkill) {
  GangSpec spec = Shell("trap 'echo terminated; exit 75' TERM; sleep 600 & wait");
  spec.time_limit = Bed().time_limit;
  GangResult result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kTimedOut);
  ASSERT_EQ(result.rank.size(), 1);
  EXPECT_EQ(result.rank[0].exit_status, 75);
  EXPECT_EQ(Log(spec), "terminated\n");
  spec = Shell("trap '' TERM; sleep 600 & wait; wait; sleep 600");
  spec.time_limit = Bed().time_limit;
  spec.grace = absl::Milliseconds(200);
  result = Run(spec);
  EXPECT_EQ(result.outcome, Outcome::kTimedOut);
  ASSERT_EQ(result.rank.size(), 1);
  EXPECT_EQ(result.rank[0].signal, SIGKILL);
}

TEST_F(BackendConformance, CancelAndKill) {
  for (const bool kill : {false, true}) {
    const std::string pid_file = absl::StrCat("pid", kill);
    const auto gang =
        Submit(Shell(absl::StrCat("trap 'exit 75' TERM; echo $$ > $SIDE/", pid_file, "; sleep 600 & wait")));
    ASSERT_NE(gang, nullptr);
    const pid_t pid = PidIn(pid_file);
    kill ? gang->Kill() : gang->Cancel();
    const GangResult result = Finish(gang.get());
    EXPECT_EQ(result.outcome, Outcome::kCancelled);
    ASSERT_EQ(result.rank.size(), 1);
    EXPECT_EQ(result.rank[0].exit_status, kill ? -1 : 75);
    EXPECT_TRUE(Ends(pid));
  }
}

TEST_F(BackendConformance, EventsAreHandedOnAsTheyComeAndInOrder) {
  const auto gang = Submit(Shell(R"(
      echo '{"progress":{"done":1,"unit":"steps"}}' >> $MILLRACE_EVENTS
      while [ ! -e $SIDE/go ]; do sleep 0.01; done
      for i in 1 2 3 4 5 6 7 8 9; do echo '{"metric":{"name":"loss","value":5.5,"step":"'$i'"}}' >> $MILLRACE_EVENTS; done
      printf 'nonsense\n{"warning":"x"}' >> $MILLRACE_EVENTS)"));
  ASSERT_NE(gang, nullptr);
  EXPECT_TRUE(WaitUntil(gang.get(), [&] { return !events_.empty(); }));
  ASSERT_EQ(events_.size(), 1);
  EXPECT_EQ(events_[0].second.progress().unit(), "steps");
  Go();
  Finish(gang.get());
  ASSERT_EQ(events_.size(), 12);
  for (int i = 1; i < 10; ++i) EXPECT_EQ(events_[i].second.metric().step(), i);
  EXPECT_TRUE(absl::StrContains(events_[10].second.warning(), "nonsense"));
  EXPECT_EQ(events_[11].second.warning(), "x");
}

TEST_F(BackendConformance, AnEventThatNamesAPathComesAfterWhatIsThere) {
  GangSpec spec = Shell(R"(
      for step in 1 2 3; do
        mkdir out/made/partial && echo state $step > out/made/partial/state && mv out/made/partial out/made/step-$step
        echo '{"checkpoint_published":{"path":"out/made/step-'$step'","step":"'$step'"}}' >> $MILLRACE_EVENTS
      done
      echo last > out/made/last)");
  std::string states;
  on_event_ = [&](const StageEvent& event) {
    const std::string folder = JoinPath(spec.work_folder, event.checkpoint_published().path());
    states += ReadFile(JoinPath(folder, "state")).value_or("(nothing)");
    // The executor has taken it.
    EXPECT_TRUE(RemoveTree(folder).ok());
  };
  EXPECT_EQ(Run(spec).first_failed_rank, -1);
  EXPECT_EQ(states, "state 1\nstate 2\nstate 3\n");
  EXPECT_EQ(ListFiles(JoinPath(spec.work_folder, "out/made")).value_or(std::vector<std::string>()),
            std::vector<std::string>{"last"});
}

TEST_F(BackendConformance, LargeFilesArriveWhole) {
  std::string input;
  for (uint64_t x = 1; input.size() < 24'000'001; x = x * 6364136223846793005 + 1442695040888963407)
    input.append(reinterpret_cast<const char*>(&x), sizeof(x));
  GangSpec spec = Shell(
      "sha256sum in/from/folder/file; cp in/from/folder/file out/made/copy; tac -b in/from/folder/file > out/made/new",
      1, input);
  EXPECT_EQ(Run(spec).first_failed_rank, -1) << Log(spec);
  EXPECT_TRUE(absl::StartsWith(Log(spec), Digest::Of(input).Hex())) << Log(spec);
  EXPECT_TRUE(ReadFile(JoinPath(spec.work_folder, "out/made/copy")).value_or("") == input);
  EXPECT_EQ(ReadFile(JoinPath(spec.work_folder, "out/made/new")).value_or("").size(), input.size());
}

TEST_F(BackendConformance, AGangHasRanksThatFindEachOther) {
  // Rank 0 listens where all are told to meet.
  GangSpec spec = Shell(R"(
      echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $MILLRACE_GANG
      echo '{"warning":"from '$RANK'"}' > $MILLRACE_EVENTS
      echo part $RANK > out/made/part-$RANK
      exec python3 -c '
import os, socket, time
meet = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if os.environ["RANK"] == "0":
    with socket.create_server(meet) as s:
        for _ in range(int(os.environ["WORLD_SIZE"]) - 1): s.accept()
else:
    for _ in range(300):
        try:
            socket.create_connection(meet)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    else:
        raise SystemExit("nobody is there")
')",
                        3);
  spec.torchrun_variables = true;
  const GangResult result = Run(spec);
  EXPECT_EQ(result.first_failed_rank, -1);
  ASSERT_EQ(result.rank.size(), 3);
  const std::vector<std::string> first = absl::StrSplit(Log(spec), absl::ByAnyChar(" \n"));
  ASSERT_GT(first.size(), 5) << Log(spec);
  const bool apart = Bed().hosts().size() > 1;
  EXPECT_EQ(Log(spec, 0), absl::StrCat("0 0 3 ", apart ? 2 : 3, " ", first[4], " gang.json\n"));
  EXPECT_EQ(Log(spec, 1), absl::StrCat("1 1 3 ", apart ? 2 : 3, " ", first[4], " gang.1.json\n"));
  EXPECT_EQ(Log(spec, 2), absl::StrCat(apart ? "2 0 3 1 " : "2 2 3 3 ", first[4], " gang.2.json\n"));
  std::set<std::string> warnings;
  for (const auto& [rank, event] : events_) {
    EXPECT_EQ(event.warning(), absl::StrCat("from ", rank));
    warnings.insert(event.warning());
  }
  EXPECT_EQ(warnings.size(), 3);
  EXPECT_EQ(ListFiles(JoinPath(spec.work_folder, "out/made")).value_or(std::vector<std::string>()),
            (std::vector<std::string>{"part-0", "part-1", "part-2"}));
}

TEST_F(BackendConformance, OneRankThatFailsEndsTheGang) {
  for (const int failing : {1, 2}) {
    GangSpec spec = Shell(absl::StrCat("if [ $RANK = ", failing,
                                       " ]; then sleep 0.2; echo this is the cause; exit 3; fi; sleep 600 & wait"),
                          3);
    spec.torchrun_variables = true;
    const GangResult result = Run(spec);
    EXPECT_EQ(result.outcome, Outcome::kEnded);
    EXPECT_EQ(result.first_failed_rank, failing);
    ASSERT_EQ(result.rank.size(), 3);
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(Log(spec, rank), rank == failing ? "this is the cause\n" : "");
      EXPECT_EQ(result.rank[rank].signal, rank == failing ? 0 : SIGTERM);
    }
    EXPECT_EQ(result.rank[failing].exit_status, 3);
  }
}

TEST_F(BackendConformance, NothingIsLeftBehind) {
  Run(Shell("sleep 600 & echo $! > $SIDE/in_group"));
  EXPECT_TRUE(Ends(PidIn("in_group")));
  Run(Shell("setsid sh -c 'echo $$ > $SIDE/detached; exec sleep 600' & while [ ! -s $SIDE/detached ]; do :; done"));
  EXPECT_TRUE(Ends(PidIn("detached")));
  {
    const auto gang = Submit(Shell("echo $$ > $SIDE/abandoned; exec sleep 600"));
    PidIn("abandoned");
  }
  EXPECT_TRUE(Ends(PidIn("abandoned")));
}

TEST_F(BackendConformance, MemoryIsBoundedWhereAsked) {
  if (!Bed().bounds_memory) GTEST_SKIP() << "not done here";
  GangSpec spec = Shell("head -c 400000000 /dev/zero | tail -c 399999999 | wc -c");
  spec.memory_bytes = 100 << 20;
  Run(spec);
  EXPECT_TRUE(absl::StrContains(Log(spec), "memory exhausted")) << Log(spec);
}

TEST_F(BackendConformance, ManyShortGangs) {
  std::atomic<int> next = 0, good = 0;
  std::vector<std::thread> submitters;
  for (int i = 0; i < Bed().submitters; ++i) {
    submitters.emplace_back([&] {
      for (int n = next++; n < Bed().short_gangs; n = next++) {
        GangSpec spec = Shell(absl::StrCat("echo ", n, " > out/made/number; echo x >> $SIDE/runs"));
        absl::StatusOr<std::unique_ptr<Gang>> gang = backend_->Submit(spec);
        ASSERT_TRUE(gang.ok()) << gang.status();
        absl::optional<GangResult> result;
        while (!result.has_value()) {
          const auto waited = (*gang)->Wait(absl::Seconds(1), [](int, const StageEvent&) {});
          ASSERT_TRUE(waited.ok()) << waited.status();
          result = *waited;
        }
        good += result->first_failed_rank < 0 &&
                ReadFile(JoinPath(spec.work_folder, "out/made/number")).value_or("") == absl::StrCat(n, "\n");
      }
    });
  }
  for (std::thread& thread : submitters) thread.join();
  EXPECT_EQ(good, Bed().short_gangs);
  EXPECT_EQ(Side("runs").size(), 2 * Bed().short_gangs);
}

// The one that started it is killed: with the backend's gangs, or they go on and a new executor finds them.
TEST_F(BackendConformance, AKilledExecutorFindsItsGangAndNeverStartsAnother) {
  const GangSpec spec = Shell(R"(
      echo $$ > $SIDE/pid
      echo started >> $SIDE/starts
      echo '{"warning":"one"}' >> $MILLRACE_EVENTS
      echo first line
      while [ ! -e $SIDE/go ]; do sleep 0.05; done
      echo '{"warning":"two"}' >> $MILLRACE_EVENTS
      echo made > out/made/file
      echo last line)");
  const bool outlive = backend_->gangs_outlive_executor();
  backend_.reset();
  const pid_t executor = ::fork();
  if (executor == 0) {
    const auto backend = Bed().Make();
    if (!backend.ok()) ::_exit(1);
    const auto gang = (*backend)->Submit(spec);
    if (!gang.ok()) ::_exit(2);
    while (true) (*gang)->Wait(absl::Seconds(1), [](int, const StageEvent&) {}).IgnoreError();
  }
  const pid_t pid = PidIn("pid");
  ASSERT_EQ(::kill(executor, SIGKILL), 0);
  ASSERT_EQ(::waitpid(executor, nullptr, 0), executor);
  Restart();
  auto adopted = backend_->Adopt(spec);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  if (!outlive) {
    EXPECT_TRUE(Ends(pid));
    EXPECT_EQ(*adopted, nullptr);
    return;
  }
  ASSERT_NE(*adopted, nullptr);
  EXPECT_FALSE(HasEnded(pid));
  Go();
  EXPECT_EQ(Finish(adopted->get()).first_failed_rank, -1);
  adopted->reset();
  EXPECT_EQ(Side("starts"), "started\n");
  ASSERT_EQ(events_.size(), 2);
  EXPECT_EQ(events_[0].second.warning(), "one");
  EXPECT_EQ(events_[1].second.warning(), "two");
  EXPECT_EQ(Log(spec), "first line\nlast line\n");
  EXPECT_EQ(ReadFile(JoinPath(spec.work_folder, "out/made/file")).value_or(""), "made\n");
  // It has been taken: there is no such gang any more.
  adopted = backend_->Adopt(spec);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(*adopted, nullptr);
}

TEST_F(BackendConformance, AGangThatEndedMeanwhileIsFoundToo) {
  if (!backend_->gangs_outlive_executor()) GTEST_SKIP() << "gangs end with the executor here";
  const GangSpec spec = Shell("echo started >> $SIDE/starts; echo made > out/made/file; exit 3");
  backend_.reset();
  const pid_t executor = ::fork();
  if (executor == 0) {
    const auto backend = Bed().Make();
    if (!backend.ok()) ::_exit(1);
    const auto gang = (*backend)->Submit(spec);
    if (!gang.ok()) ::_exit(2);
    // A backend may gather for a while what is submitted.
    while (Side("starts").empty()) (*gang)->Wait(absl::Milliseconds(20), [](int, const StageEvent&) {}).IgnoreError();
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(executor, nullptr, 0), executor);
  EXPECT_TRUE(WaitUntil(nullptr, [&] { return !Side("starts").empty(); }));
  Restart();
  auto adopted = backend_->Adopt(spec);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  ASSERT_NE(*adopted, nullptr);
  const GangResult result = Finish(adopted->get());
  ASSERT_EQ(result.rank.size(), 1);
  EXPECT_EQ(result.rank[0].exit_status, 3);
  EXPECT_EQ(Side("starts"), "started\n");
}

TEST_F(BackendConformance, ALostNodeIsNamed) {
  GangSpec spec = ShellOnLastHost("echo $$ > $SIDE/pid; exec sleep 600");
  const auto gang = Submit(spec);
  ASSERT_NE(gang, nullptr);
  PidIn("pid");
  if (!Inject(Fault::kNodeLost)) GTEST_SKIP();
  absl::Status status;
  const absl::Time deadline = absl::Now() + 2 * Bed().patience;
  while (status.ok() && absl::Now() < deadline) {
    const auto result = gang->Wait(absl::Milliseconds(100), Sink());
    status = result.status();
    if (result.ok() && result->has_value()) break;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(spec.hosts.empty() || absl::StrContains(status.message(), spec.hosts[0])) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "\n  why: ")) << status;
  std::printf("%s\n", std::string(status.message()).c_str());
}

TEST_F(BackendConformance, NothingIsLostWithTheConnection) {
  for (const Fault fault : {Fault::kConnectionDropped, Fault::kNodeHangs}) {
    const std::string stop = absl::StrCat("stop", static_cast<int>(fault));
    GangSpec spec = ShellOnLastHost(absl::StrCat(R"(
        i=0
        while [ ! -e $SIDE/)",
                                                 stop, R"( ]; do
          i=$((i + 1)); echo line $i; echo '{"metric":{"name":"i","value":'$i',"step":"'$i'"}}' >> $MILLRACE_EVENTS; sleep 0.05
        done
        echo $i > out/made/count)"));
    events_.clear();
    const auto gang = Submit(spec);
    ASSERT_NE(gang, nullptr);
    EXPECT_TRUE(WaitUntil(gang.get(), [&] { return events_.size() > 3; }));
    if (!Inject(fault)) GTEST_SKIP();
    const size_t before = events_.size();
    // What is made while nobody listens.
    gang->Wait(absl::Seconds(1), Sink()).IgnoreError();
    Heal();
    EXPECT_TRUE(WaitUntil(gang.get(), [&] { return events_.size() > before + 30; }));
    Go(stop);
    EXPECT_EQ(Finish(gang.get()).first_failed_rank, -1);
    std::string log;
    for (size_t i = 0; i < events_.size(); ++i) {
      EXPECT_EQ(events_[i].second.metric().step(), i + 1);
      absl::StrAppend(&log, "line ", i + 1, "\n");
    }
    EXPECT_EQ(Log(spec), log);
    EXPECT_EQ(ReadFile(JoinPath(spec.work_folder, "out/made/count")).value_or(""), absl::StrCat(events_.size(), "\n"));
  }
}

TEST_F(BackendConformance, AnUnknownNode) { ExpectRefused(Fault::kUnknownNode); }
TEST_F(BackendConformance, ARefusedLogin) { ExpectRefused(Fault::kLoginRefused); }
TEST_F(BackendConformance, AChangedIdentity) { ExpectRefused(Fault::kIdentityChanged); }
TEST_F(BackendConformance, ANodeThatHangs) { ExpectRefused(Fault::kNodeHangs); }
TEST_F(BackendConformance, AFullDisk) { ExpectRefused(Fault::kDiskFull, std::string(8 << 20, 'x')); }

}  // namespace
}  // namespace millrace
