// What is particular to stages over ssh, with a shell in ssh's place: "hosts" are folders of this machine. Real ssh,
// and what every backend must do, are in tests/backends.
#include "executor/backends/ssh.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

using Outcome = GangResult::Outcome;

class SshBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("ssh");
    backend_ = Make();
  }
  void TearDown() override {
    backend_.reset();
    for (const char* host : {"n1", "n2"}) {
      int pid;
      const std::string text = ReadFile(absl::StrCat(folder_, "/nodes/", host, "/lock")).value_or("");
      if (absl::SimpleAtoi(text, &pid) &&
          ReadFile(absl::StrCat("/proc/", pid, "/comm")).value_or("") == "millrace-agent\n")
        ::kill(pid, SIGKILL);
    }
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }

  std::unique_ptr<SshBackend> Make(const std::string& shared_path = "", Cas* cas = nullptr) {
    SshBackendOptions options;
    // The last argument is what ssh would have the host's shell do.
    options.client.ssh.command = {"/bin/sh", "-c", "for last; do :; done; exec /bin/sh -c \"$last\"", "ssh"};
    options.client.ssh.work_dir = JoinPath(folder_, "nodes");
    options.client.time_to_live = absl::Seconds(2);
    options.client.patience = absl::Seconds(5);
    options.agent_path = "executor/agent/millrace-agent";
    options.shared_path = shared_path;
    options.cas = cas;
    absl::StatusOr<std::unique_ptr<SshBackend>> backend = SshBackend::Make(options);
    EXPECT_TRUE(backend.ok()) << backend.status();
    return *std::move(backend);
  }

  GangSpec Shell(const std::string& id, const std::string& script, int ranks = 1) {
    GangSpec spec;
    spec.stage = "test";
    spec.id = id;
    spec.work_folder = JoinPath(folder_, id);
    EXPECT_TRUE(CreateDirectories(JoinPath(spec.work_folder, "out/made")).ok());
    spec.outputs = {"out/made"};
    spec.argument = {"/bin/sh", "-c", script};
    spec.environment = {"PATH=/usr/bin:/bin", absl::StrCat("HOME=", spec.work_folder), absl::StrCat("SIDE=", folder_)};
    spec.ranks = ranks;
    for (int rank = 0; rank < ranks; ++rank) {
      spec.log_path.push_back(absl::StrCat(spec.work_folder, "/log.", rank));
      spec.hosts.push_back(absl::StrCat("n", rank + 1));
    }
    return spec;
  }
  absl::StatusOr<GangResult> Run(SshBackend& backend, const GangSpec& spec) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Gang> gang, backend.Submit(spec));
    for (int i = 0; i < 600; ++i) {
      ASSIGN_OR_RETURN(const absl::optional<GangResult> result,
                       gang->Wait(absl::Milliseconds(100), [](int, const StageEvent&) {}));
      if (result.has_value()) return *result;
    }
    return absl::DeadlineExceededError("the gang does not end");
  }
  bool Becomes(const std::function<bool()>& good) {
    for (int i = 0; i < 3000 && !good(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return good();
  }
  std::string Side(const std::string& name) { return ReadFile(JoinPath(folder_, name)).value_or(""); }

  std::string folder_;
  std::unique_ptr<SshBackend> backend_;
};

TEST_F(SshBackendTest, AToolBringsItsLibrariesAndIsSentOnce) {
  // A program of this machine that is linked with more than glibc, and prints where its libraries come from.
  const std::string tool = JoinPath(folder_, "tool");
  ASSERT_TRUE(CreateDirectories(JoinPath(tool, "bin")).ok());
  const std::string program = *ReadFile("/usr/bin/sort");
  ASSERT_TRUE(WriteFile(JoinPath(tool, "bin/sort"), program).ok());
  ASSERT_EQ(::chmod(JoinPath(tool, "bin/sort").c_str(), 0755), 0);
  GangSpec spec = Shell("first", "");
  spec.tool = StagedFolder{.path = tool, .tree = {}};
  spec.tool->tree.files.push_back({"bin/sort", Digest::Of(program), static_cast<int64_t>(program.size()), true});
  spec.argument = {JoinPath(tool, "bin/sort"), "/proc/self/maps"};
  spec.environment.push_back(absl::StrCat("RUNFILES_DIR=", tool));
  absl::StatusOr<GangResult> result = Run(*backend_, spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_failed_rank, -1);
  const std::string log = *ReadFile(spec.log_path[0]);
  const std::string tools = JoinPath(folder_, "nodes/n1/tools/");
  EXPECT_TRUE(absl::StrContains(log, absl::StrCat(tools, Digest::Of(spec.tool->tree.Canonical()).Hex(), "/bin/sort")))
      << log;
  if (absl::StrContains(log, "libcrypto")) {
    const size_t at = log.find("libcrypto");
    EXPECT_TRUE(absl::StrContains(log.substr(log.rfind('\n', at) + 1, at), tools)) << log;
  }
  // What is there is not read here again.
  ASSERT_TRUE(RemoveTree(JoinPath(tool, "bin/sort")).ok());
  spec.id = "second";
  result = Run(*backend_, spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_failed_rank, -1);
}

TEST_F(SshBackendTest, WhatAGangMadeIsThereForTheNextOne) {
  const std::string content(1 << 20, 'm');
  absl::StatusOr<GangResult> result =
      Run(*backend_, Shell("first", "head -c 1048576 /dev/zero | tr '\\0' m > out/made/file"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(*ReadFile(JoinPath(folder_, "first/out/made/file")) == content);
  GangSpec spec = Shell("second", "cp in/from/file out/made/copy; ls -l in/from/file");
  // The file is not even here.
  spec.inputs.push_back({.path = "in/from", .tree = {}, .may_link = true});
  spec.inputs[0].tree.files.push_back({"file", Digest::Of(content), static_cast<int64_t>(content.size()), false});
  // Nor is what comes back from the node, if the executor's own storage has it.
  auto cas = *Cas::Open(JoinPath(folder_, "cas"));
  ASSERT_TRUE(cas->Put(content).ok());
  const auto backend = Make("", cas.get());
  result = Run(*backend, spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_failed_rank, -1);
  EXPECT_TRUE(*ReadFile(JoinPath(folder_, "second/out/made/copy")) == content);
  EXPECT_TRUE(absl::StartsWith(*ReadFile(spec.log_path[0]), "-r--r--r--")) << *ReadFile(spec.log_path[0]);
}

TEST_F(SshBackendTest, AnInputThatChangesIsNotSent) {
  GangSpec spec = Shell("changes", "");
  ASSERT_TRUE(CreateDirectories(JoinPath(spec.work_folder, "in/from")).ok());
  ASSERT_TRUE(WriteFile(JoinPath(spec.work_folder, "in/from/file"), "other").ok());
  spec.inputs.push_back({.path = "in/from", .tree = {}});
  spec.inputs[0].tree.files.push_back({"file", Digest::Of("bytes"), 5, false});
  const auto result = Run(*backend_, spec);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss) << result.status();
  EXPECT_TRUE(absl::StrContains(result.status().message(), "in/from/file changed")) << result.status();
}

TEST_F(SshBackendTest, OneGangOfANameIsStartedHoweverOftenItIsAskedFor) {
  const GangSpec spec = Shell("same", "echo x >> $SIDE/starts; sleep 0.5; echo made > out/made/file");
  const auto first = backend_->Submit(spec), second = backend_->Submit(spec);
  ASSERT_TRUE(first.ok() && second.ok());
  const auto no_events = [](int, const StageEvent&) {};
  absl::optional<GangResult> result;
  while (!result.has_value()) result = *(*first)->Wait(absl::Seconds(1), no_events);
  EXPECT_EQ(result->first_failed_rank, -1);
  EXPECT_EQ(Side("starts"), "x\n");
}

TEST_F(SshBackendTest, NothingIsCopiedWhereHostsSeeTheFolder) {
  const auto backend = Make(folder_);
  GangSpec spec = Shell("shared", "pwd > out/made/folder; echo said");
  const absl::StatusOr<GangResult> result = Run(*backend, spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->first_failed_rank, -1);
  EXPECT_EQ(*ReadFile(JoinPath(spec.work_folder, "out/made/folder")), spec.work_folder + "\n");
  EXPECT_EQ(*ReadFile(spec.log_path[0]), "said\n");
  EXPECT_FALSE(IsDirectory(JoinPath(folder_, "nodes/n1/gangs/shared/work")));
}

TEST_F(SshBackendTest, TwoHostsMayNotMakeDifferentFilesOfOneName) {
  GangSpec spec = Shell("union", "echo $RANK > out/made/part-$RANK; echo same > out/made/same", 2);
  spec.torchrun_variables = true;
  absl::StatusOr<GangResult> result = Run(*backend_, spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(ListFiles(JoinPath(spec.work_folder, "out/made"))->size(), 3);
  spec = Shell("conflict", "echo $RANK > out/made/file", 2);
  spec.torchrun_variables = true;
  result = Run(*backend_, spec);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(result.status().message(), "\"n1\" and \"n2\" made different files out/made/file"))
      << result.status();
}

// The executor is gone for good: after its time to live the gang is ended, and then the agent leaves.
TEST_F(SshBackendTest, WhatNobodyComesBackForIsEnded) {
  backend_.reset();
  const GangSpec spec =
      Shell("abandoned", "trap 'echo in order > $SIDE/ended; exit 75' TERM; echo $$ > $SIDE/pid; sleep 600 & wait");
  const pid_t executor = ::fork();
  if (executor == 0) {
    const auto backend = Make();
    const auto gang = backend->Submit(spec);
    ::pause();
  }
  ASSERT_TRUE(Becomes([&] { return absl::EndsWith(Side("pid"), "\n"); }));
  const std::string agent = ReadFile(JoinPath(folder_, "nodes/n1/lock")).value_or("");
  ::kill(executor, SIGKILL);
  ::waitpid(executor, nullptr, 0);
  const absl::Time left = absl::Now();
  EXPECT_TRUE(Becomes([&] { return Side("ended") == "in order\n"; }));
  EXPECT_GT(absl::Now() - left, absl::Seconds(1));
  EXPECT_TRUE(Becomes([&] { return !IsDirectory(JoinPath(folder_, "nodes/n1/gangs/abandoned")); }));
  EXPECT_TRUE(Becomes([&] { return !FileExists(JoinPath(folder_, "nodes/n1/socket")); }));
}

TEST_F(SshBackendTest, AnAgentThatDiesTakesItsGangWithItAndTheNextOneWorks) {
  const auto gang = backend_->Submit(Shell("dies", "echo $$ > $SIDE/pid; exec sleep 600"));
  ASSERT_TRUE(gang.ok()) << gang.status();
  ASSERT_TRUE(Becomes([&] { return absl::EndsWith(Side("pid"), "\n"); }));
  int agent, stage;
  ASSERT_TRUE(absl::SimpleAtoi(ReadFile(JoinPath(folder_, "nodes/n1/lock")).value_or(""), &agent));
  ASSERT_TRUE(absl::SimpleAtoi(Side("pid"), &stage));
  ::kill(agent, SIGKILL);
  absl::Status status;
  for (int i = 0; i < 300 && status.ok(); ++i)
    status = (*gang)->Wait(absl::Milliseconds(100), [](int, const StageEvent&) {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "host \"n1\"")) << status;
  EXPECT_TRUE(Becomes([&] { return ::kill(stage, 0) != 0; }));
  const auto result = Run(*backend_, Shell("next", "exit 0"));
  ASSERT_TRUE(result.ok()) << result.status();
}

}  // namespace
}  // namespace millrace
