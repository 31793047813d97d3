#include "executor/backends/ssh_process.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

const std::atomic<bool> stop = false;

TEST(ExplainSshTest, NamesTheHostTheCauseAndWhatToDo) {
  const struct {
    int exit_status;
    const char* said;
    absl::StatusCode code;
    const char* what;
  } kCases[] = {
      {255, "ssh: Could not resolve hostname n1: Name or service not known", absl::StatusCode::kFailedPrecondition,
       "there is no host of this name"},
      {255, "ssh: Could not resolve hostname n1: Temporary failure in name resolution", absl::StatusCode::kUnavailable,
       "there is no host of this name"},
      {255, "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@\nHost key verification failed.",
       absl::StatusCode::kFailedPrecondition, "its host key is not the one that is known"},
      {255,
       "No ED25519 host key is known for n1 and you have requested strict checking.\nHost key verification failed.",
       absl::StatusCode::kFailedPrecondition, "its host key is not known"},
      {255, "u@n1: Permission denied (publickey).", absl::StatusCode::kFailedPrecondition, "the login was refused"},
      {255, "ssh: connect to host n1 port 22: Connection refused", absl::StatusCode::kUnavailable,
       "it refuses connections"},
      {255, "Connection timed out during banner exchange", absl::StatusCode::kUnavailable, "it does not answer"},
      {255, "Timeout, server n1 not responding.", absl::StatusCode::kUnavailable, "it does not answer"},
      {255, "client_loop: send disconnect: Broken pipe", absl::StatusCode::kUnavailable, "the connection was lost"},
      {1, "mkdir: cannot create directory: No space left on device", absl::StatusCode::kResourceExhausted,
       "its disk is full"},
      {132, "", absl::StatusCode::kFailedPrecondition, "its processor is too old"},
      {126, "sh: 1: /x/agent: Permission denied", absl::StatusCode::kFailedPrecondition,
       "programs may not be run in its work_dir"},
      {126, "sh: 1: /x/agent: Exec format error", absl::StatusCode::kFailedPrecondition,
       "Millrace's programs do not run there"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ExplainSsh("n1", c.exit_status, c.said);
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_TRUE(absl::StartsWith(status.message(), absl::StrCat("host \"n1\": ", c.what))) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "\n  why: ") && absl::StrContains(status.message(), "\n  fix: "))
        << status;
  }
}

TEST(SshCommandTest, TakesNoNameThatIsSomethingElse) {
  const AgentProgram agent = {"x", "abc"};
  const auto code = [&](const std::string& name, const std::string& address, const std::string& work_dir) {
    SshOptions options;
    options.work_dir = work_dir;
    return SshCommand(options, {name, address, 0}, agent).status().code();
  };
  EXPECT_EQ(code("n1.example-net", "10.0.0.1", "~/.millrace"), absl::StatusCode::kOk);
  EXPECT_EQ(code("n1", "fe80::1%eth0", "/scratch/a_b"), absl::StatusCode::kOk);
  EXPECT_EQ(code("-oProxyCommand=x", "", "~/.millrace"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("n1;x", "", "~/.millrace"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("n1", "$(x)", "~/.millrace"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("n1", "", "relative"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("n1", "", "/a'b"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("n1", "", "~/../x"), absl::StatusCode::kInvalidArgument);
}

TEST(SshCommandTest, SaysWhatTheClusterFileSays) {
  SshOptions options;
  options.user = "me";
  options.config = "/etc/x";
  const auto command = SshCommand(options, {"n1", "10.0.0.1", 2222}, {"xyz", "abc"});
  ASSERT_TRUE(command.ok());
  const std::string line = absl::StrJoin(*command, " ");
  for (const char* part : {"-F /etc/x", "-l me", "-p 2222", "HostName=10.0.0.1", "BatchMode=yes",
                           "StrictHostKeyChecking=yes", "-- n1", "$HOME/.millrace/n1", "head -c 3 "})
    EXPECT_TRUE(absl::StrContains(line, part)) << part << " in " << line;
}

TEST(SshProcessTest, SaysThatThereIsNoSsh) {
  SshOptions options;
  options.command = {"/no/such/ssh"};
  SshProcess ssh;
  const absl::Status status = ssh.Connect(options, {"n1", "", 0}, {"x", "abc"}, stop);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "openssh-client")) << status;
}

// Another kind of machine, played by a program in ssh's place.
TEST(SshProcessTest, RefusesAnotherKindOfMachine) {
  SshOptions options;
  options.command = {"/bin/sh", "-c", "echo welcome; echo millrace-agent missing Linux aarch64; cat >/dev/null"};
  SshProcess ssh;
  const absl::Status status = ssh.Connect(options, {"n1", "", 0}, {"x", "abc"}, stop);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "it is Linux aarch64")) << status;
}

TEST(SshProcessTest, EndsOneThatSaysNothing) {
  SshOptions options;
  options.command = {"/bin/sh", "-c", "sleep 600"};
  options.connect_time = absl::Milliseconds(400);
  SshProcess ssh;
  const absl::Status status = ssh.Connect(options, {"n1", "", 0}, {"x", "abc"}, stop);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(status.message(), "it does not answer")) << status;
}

}  // namespace
}  // namespace millrace
