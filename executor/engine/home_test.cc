#include "executor/engine/home.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

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

// What another process may do at any moment: it takes a lease that is not locked yet for an abandoned one.
TEST_F(HomeTest, ALeaseIsTakenWhateverIsCleanedUp) {
  std::atomic<bool> done = false;
  std::thread cleaner([&] {
    while (!done) home_.CleanUp();
  });
  std::thread looker([&] {
    while (!done) Lease::All(home_);
  });
  for (int i = 0; i < 500; ++i) {
    const auto lease = Lease::Take(home_, std::to_string(i));
    ASSERT_TRUE(lease.ok()) << lease.status();
    ASSERT_TRUE(FileExists(JoinPath(home_.Leases(), std::to_string(i)))) << i;
  }
  done = true;
  cleaner.join();
  looker.join();
}

TEST_F(HomeTest, LatestRuns) {
  ASSERT_TRUE(home_.PointLatest("a", "run-1").ok());
  ASSERT_TRUE(home_.PointLatest("a", "run-2").ok());
  ASSERT_TRUE(home_.PointLatest("b", "run-3").ok());
  EXPECT_EQ(home_.LatestRuns(), (std::set<std::string>{"run-2", "run-3"}));
}

}  // namespace
}  // namespace millrace
