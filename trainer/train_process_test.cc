// The program itself, as a gang of processes over Gloo.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/train_testing.h"

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

std::string Json(const google::protobuf::Message& message) {
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &json).ok());
  return json;
}

// Processes of `trainer/train` below `folder`; logs are folder/log.RANK.
class Gang {
 public:
  Gang(const TrainInputs& inputs, const std::string& folder, int ranks, const std::string& resume_path = "")
      : folder_(folder) {
    EXPECT_TRUE(WriteFile(folder + "/request.json", Json(Prepared(inputs, folder))).ok());
    const int port = FreePort();
    for (int rank = 0; rank < ranks; ++rank) {
      StageGang gang;
      gang.set_rank(rank);
      gang.set_world_size(ranks);
      gang.set_master_address("127.0.0.1");
      gang.set_master_port(port);
      if (!resume_path.empty()) gang.set_resume_path(resume_path);
      const std::string gang_path = absl::StrCat(folder, "/gang.", rank);
      EXPECT_TRUE(WriteFile(gang_path, Json(gang)).ok());
      processes_.push_back(Start(gang_path, absl::StrCat(folder, "/log.", rank)));
    }
  }

  pid_t process(int rank) const { return processes_[rank]; }
  std::string log(int rank) const { return ReadFile(absl::StrCat(folder_, "/log.", rank)).value_or(""); }

  // Exit status, or minus the signal.
  int Wait(int rank) {
    int status = 0;
    ::waitpid(processes_[rank], &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  // Until some step's loss was reported.
  void WaitForStep(int64_t step) {
    const absl::Time until = absl::Now() + absl::Seconds(60);
    while (absl::Now() < until && Curve(folder_ + "/events", "loss").count(step) == 0)
      absl::SleepFor(absl::Milliseconds(5));
  }

 private:
  static StageRequest Prepared(const TrainInputs& inputs, const std::string& folder) {
    return inputs.NewRequest(folder);
  }

  pid_t Start(const std::string& gang_path, const std::string& log_path) {
    const std::string request = folder_ + "/request.json", events = folder_ + "/events";
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::setenv("MILLRACE_REQUEST", request.c_str(), 1);
    ::setenv("MILLRACE_GANG", gang_path.c_str(), 1);
    ::setenv("MILLRACE_EVENTS", events.c_str(), 1);
    if (std::freopen(log_path.c_str(), "w", stderr) == nullptr) ::_exit(126);
    ::execl("trainer/train", "train", nullptr);
    ::_exit(127);
  }

  const std::string folder_;
  std::vector<pid_t> processes_;
};

class TrainProcessTest : public ::testing::Test {
 protected:
  TrainProcessTest() : inputs_(*MakeTempDirectory("train")) {}
  ~TrainProcessTest() override { RemoveTree(inputs_.folder()).IgnoreError(); }

  std::string NewFolder() {
    const std::string folder = absl::StrCat(inputs_.folder(), "/run", runs_++);
    EXPECT_TRUE(CreateDirectories(folder).ok());
    return folder;
  }

  // A run from beginning to end.
  std::map<std::string, std::string> Digests(int ranks) {
    const std::string folder = NewFolder();
    {
      CheckpointTaker taker(folder);
      Gang gang(inputs_, folder, ranks);
      for (int rank = 0; rank < ranks; ++rank) EXPECT_EQ(gang.Wait(rank), 0) << gang.log(rank);
    }
    return DigestsOf(folder);
  }

  TrainInputs inputs_;
  int runs_ = 0;
};

TEST_F(TrainProcessTest, OneAndTwoAndThreeRanksGiveTheSameBytes) {
  const auto reference = Digests(1);
  EXPECT_EQ(reference.size(), 4u);
  EXPECT_EQ(Digests(2), reference);
  EXPECT_EQ(Digests(3), reference);
}

TEST_F(TrainProcessTest, SigtermPublishesAndTheNextRunGoesOn) {
  inputs_.train().set_max_steps(600);
  inputs_.train().mutable_checkpoint()->set_every_steps(200);
  inputs_.train().clear_validation();
  const auto reference = Digests(1);
  const std::string folder = NewFolder();
  int64_t stopped_at = 0;
  {
    CheckpointTaker taker(folder);
    Gang gang(inputs_, folder, 2);
    gang.WaitForStep(20);
    ::kill(gang.process(1), SIGTERM);
    EXPECT_EQ(gang.Wait(0), 75) << gang.log(0);
    EXPECT_EQ(gang.Wait(1), 75) << gang.log(1);
    stopped_at = Curve(folder + "/events", "loss").rbegin()->first;
  }
  const std::string resume = absl::StrCat(folder, "/taken/", CheckpointName(stopped_at));
  ASSERT_TRUE(IsDirectory(resume));
  const std::string second = NewFolder();
  {
    CheckpointTaker taker(second);
    Gang gang(inputs_, second, 2, resume);
    EXPECT_EQ(gang.Wait(0), 0) << gang.log(0);
    EXPECT_EQ(gang.Wait(1), 0) << gang.log(1);
  }
  const auto digests = DigestsOf(second);
  EXPECT_EQ(digests.at("step-000600"), reference.at("step-000600"));
  EXPECT_EQ(digests.at("hugging_face"), reference.at("hugging_face"));
}

TEST_F(TrainProcessTest, ADeadPeerEndsTheGangWithAReadableMessage) {
  inputs_.train().set_max_steps(1000000);
  inputs_.train().clear_schedule();
  inputs_.train().clear_validation();
  const std::string folder = NewFolder();
  Gang gang(inputs_, folder, 3);
  gang.WaitForStep(3);
  ::kill(gang.process(1), SIGKILL);
  const absl::Time killed_at = absl::Now();
  EXPECT_EQ(gang.Wait(1), -SIGKILL);
  for (const int rank : {0, 2}) {
    EXPECT_EQ(gang.Wait(rank), 1);
    EXPECT_THAT(gang.log(rank), HasSubstr(absl::StrCat("rank ", rank, " of 3: all-reduce of ")));
    EXPECT_THAT(gang.log(rank), ::testing::Not(HasSubstr("frame #")));
  }
  EXPECT_LT(absl::Now() - killed_at, absl::Seconds(60));
}

}  // namespace
}  // namespace millrace::trainer
