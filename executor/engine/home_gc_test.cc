#include "executor/engine/home_gc.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>

#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/cas/file_memo.h"
#include "executor/graph/tool_manifest.h"

namespace millrace {
namespace {

class HomeGcTest : public testing::Test {
 protected:
  HomeGcTest() : folder_(*MakeTempDirectory("home_gc")), home_(folder_ + "/home") {
    EXPECT_TRUE(home_.Create().ok());
    cas_ = *Cas::Open(home_.Cas());
    cache_ = *ActionCache::Open(*cas_, "boot");
    memo_ = *FileMemo::Open(home_.Memo());
    for (const char* name : {"idle", "busy"}) {
      EXPECT_TRUE(WriteFile(JoinPath(folder_, name), name).ok());
      manifest_.tools[name] = {name, {{name, JoinPath(folder_, name)}}};
    }
    tools_ = std::make_unique<ToolStore>(home_.Tools(), &manifest_, memo_.get(), "boot", 1);
  }
  ~HomeGcTest() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  void WriteRun(const std::string& id) {
    ASSERT_TRUE(CreateDirectories(home_.Run(id)).ok());
    ASSERT_TRUE(WriteFile(home_.Run(id) + "/events.log", "").ok());
    MakeOld(home_.Run(id) + "/events.log");
  }
  static void MakeOld(const std::string& path) {
    const struct timespec then[2] = {{}, absl::ToTimespec(absl::Now() - absl::Hours(48))};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), then, 0), 0);
  }
  HomeGcReport Collect(absl::Duration max_age, bool dry_run = false) {
    HomeGcOptions options;
    options.max_age = max_age;
    options.dry_run = dry_run;
    return *CollectHomeGarbage(home_, *cas_, *cache_, *tools_, options);
  }

  const std::string folder_;
  const Home home_;
  std::unique_ptr<Cas> cas_;
  std::unique_ptr<ActionCache> cache_;
  std::unique_ptr<FileMemo> memo_;
  ToolManifest manifest_;
  std::unique_ptr<ToolStore> tools_;
};

TEST_F(HomeGcTest, LogsStayOfLatestAndLiveRuns) {
  for (const char* id : {"1-old", "2-latest", "3-old", "4-live"}) WriteRun(id);
  ASSERT_TRUE(home_.PointLatest("pipeline", "2-latest").ok());
  const auto lease = *Lease::Take(home_, "4-live");
  EXPECT_EQ(Collect(absl::Hours(72)).runs_removed, 0);
  EXPECT_EQ(Collect(absl::Hours(24), /*dry_run=*/true).runs_removed, 2);
  EXPECT_TRUE(IsDirectory(home_.Run("1-old")));
  EXPECT_EQ(Collect(absl::Hours(24)).runs_removed, 2);
  EXPECT_FALSE(IsDirectory(home_.Run("1-old")));
  EXPECT_TRUE(IsDirectory(home_.Run("2-latest")));
  EXPECT_FALSE(IsDirectory(home_.Run("3-old")));
  EXPECT_TRUE(IsDirectory(home_.Run("4-live")));
}

TEST_F(HomeGcTest, ProgramsStayThatALiveRunUses) {
  const std::string idle = tools_->Install("idle")->root;
  const auto lease = *Lease::Take(home_, "run");
  const std::string busy = tools_->Install("busy")->root;
  const std::string killed = home_.Tools() + "/abc.123.tmp";
  ASSERT_TRUE(CreateDirectories(killed).ok());
  EXPECT_EQ(Collect(absl::Hours(24)).tools_removed, 0);
  EXPECT_FALSE(IsDirectory(killed));
  EXPECT_EQ(Collect(absl::ZeroDuration(), /*dry_run=*/true).tools_removed, 1);
  EXPECT_TRUE(IsDirectory(idle));
  EXPECT_EQ(Collect(absl::ZeroDuration()).tools_removed, 1);
  EXPECT_FALSE(IsDirectory(idle));
  EXPECT_TRUE(IsDirectory(busy));
  EXPECT_EQ(ListFiles(home_.Tools() + "/files")->size(), 1);
  // It comes back when it is needed; and to use it is to keep it.
  EXPECT_EQ(*ReadFile(tools_->Install("idle")->executable), "idle");
  MakeOld(busy);
  ASSERT_TRUE(tools_->Install("busy").ok());
  EXPECT_EQ(Collect(absl::Hours(24)).tools_removed, 0);
}

}  // namespace
}  // namespace millrace
