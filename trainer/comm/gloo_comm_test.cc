// Real processes: the test runs itself as each rank of a gang.
#include "trainer/comm/gloo_comm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/comm/conformance.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

// What a rank does in the process of its own; its status is written to `path`.
absl::Status RunRank(const std::string& role, int rank, int world_size, int port) {
  GlooOptions options{.rank = rank, .world_size = world_size, .master_port = port, .timeout = absl::Seconds(60)};
  if (role == "silent") options.timeout = absl::Seconds(1);
  ASSIGN_OR_RETURN(std::unique_ptr<Comm> comm, NewGlooComm(options));
  if (role == "conformance") return CommConformance(*comm);
  RETURN_IF_ERROR(comm->Barrier("start"));
  if (rank == 1) {
    if (role == "silent") absl::SleepFor(absl::Seconds(3));
    ::_exit(9);
  }
  std::vector<int64_t> values(1000);
  return comm->AllReduceSum(absl::MakeSpan(values), "gradients, bucket 0");
}

// Runs a gang; returns each rank's message ("" for OK), "exit 9" style for one that ended by itself.
std::vector<std::string> RunGang(const std::string& role, int world_size) {
  const std::string folder = *MakeTempDirectory("gloo");
  const int port = FreePort();
  std::vector<pid_t> processes;
  for (int rank = 0; rank < world_size; ++rank) {
    const std::string path = absl::StrCat(folder, "/", rank);
    const std::string arguments[] = {role, absl::StrCat(rank), absl::StrCat(world_size), absl::StrCat(port), path};
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execl("/proc/self/exe", "rank", arguments[0].c_str(), arguments[1].c_str(), arguments[2].c_str(),
              arguments[3].c_str(), arguments[4].c_str(), nullptr);
      ::_exit(127);
    }
    processes.push_back(pid);
  }
  std::vector<std::string> messages;
  for (int rank = 0; rank < world_size; ++rank) {
    int status = 0;
    ::waitpid(processes[rank], &status, 0);
    auto message = ReadFile(absl::StrCat(folder, "/", rank));
    messages.push_back(message.ok() ? *message : absl::StrCat("exit ", WEXITSTATUS(status)));
  }
  return messages;
}

TEST(GlooCommTest, Conformance) {
  for (const int world_size : {1, 2, 3}) {
    for (const std::string& message : RunGang("conformance", world_size)) EXPECT_EQ(message, "OK");
  }
}

TEST(GlooCommTest, ADeadPeerIsNamedAtOnce) {
  const absl::Time start = absl::Now();
  const std::vector<std::string> messages = RunGang("dead", 3);
  EXPECT_LT(absl::Now() - start, absl::Seconds(40));
  EXPECT_EQ(messages[1], "exit 9");
  for (const int rank : {0, 2}) {
    EXPECT_THAT(messages[rank],
                HasSubstr(absl::StrCat("UNAVAILABLE: rank ", rank, " of 3: all-reduce of gradients, bucket 0: ")));
    EXPECT_THAT(messages[rank], ::testing::Not(HasSubstr("frame #")));
  }
}

TEST(GlooCommTest, ASilentPeerEndsTheWaitAtTheTimeout) {
  const std::vector<std::string> messages = RunGang("silent", 2);
  EXPECT_THAT(messages[0], HasSubstr("DEADLINE_EXCEEDED: rank 0 of 2: all-reduce of gradients, bucket 0: "));
}

TEST(GlooCommTest, NobodyListens) {
  const auto comm =
      NewGlooComm({.rank = 1, .world_size = 2, .master_port = FreePort(), .timeout = absl::Milliseconds(100)});
  EXPECT_EQ(comm.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(comm.status().message()), HasSubstr("rank 0 does not listen at 127.0.0.1:"));
}

}  // namespace
}  // namespace millrace::trainer

int main(int argc, char** argv) {
  if (argc == 6 && std::strcmp(argv[0], "rank") == 0) {
    const absl::Status status =
        millrace::trainer::RunRank(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]));
    return millrace::WriteFile(argv[5], status.ToString()).ok() ? 0 : 1;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
