#include "executor/engine/home.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "base/file.h"

namespace millrace {
namespace {

class HomeTest : public testing::Test {
 protected:
  HomeTest() : home_(*MakeTempDirectory("home")) { EXPECT_TRUE(home_.Create().ok()); }
  ~HomeTest() override { EXPECT_TRUE(RemoveTree(home_.folder()).ok()); }
  const Home home_;
};

TEST_F(HomeTest, LeasesOfRunsThatGoOn) {
  auto lease = *Lease::Take(home_, "run");
  ASSERT_TRUE(lease->Add({Digest::Of("a"), Digest::Of("b")}).ok());
  ASSERT_EQ(Lease::All(home_).size(), 1);
  EXPECT_EQ(Lease::All(home_)[0].run_id, "run");
  EXPECT_EQ(Lease::All(home_)[0].keys, (std::vector<Digest>{Digest::Of("a"), Digest::Of("b")}));
  EXPECT_GT(Lease::All(home_)[0].since_unix_micros, 0);
  lease.reset();
  EXPECT_TRUE(Lease::All(home_).empty());
}

// Before it is locked, a new lease looks abandoned to another process.
TEST_F(HomeTest, ALeaseIsTakenAlthoughAnotherProcessCleansItUp) {
  const std::string path = JoinPath(home_.Leases(), "run");
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  absl::StatusOr<std::unique_ptr<Lease>> lease = absl::UnknownError("");
  std::thread taker([&] { lease = Lease::Take(home_, "run"); });
  absl::SleepFor(absl::Milliseconds(50));  // it has opened the file and waits
  ASSERT_EQ(::unlink(path.c_str()), 0);
  ::close(fd);
  taker.join();
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_TRUE(FileExists(path));
  EXPECT_EQ(Lease::All(home_).size(), 1);
}

TEST_F(HomeTest, LatestRuns) {
  ASSERT_TRUE(home_.PointLatest("a", "run-1").ok());
  ASSERT_TRUE(home_.PointLatest("a", "run-2").ok());
  ASSERT_TRUE(home_.PointLatest("b", "run-3").ok());
  EXPECT_EQ(home_.LatestRuns(), (std::set<std::string>{"run-2", "run-3"}));
}

}  // namespace
}  // namespace millrace
