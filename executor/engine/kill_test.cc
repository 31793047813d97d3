// kill -9 at seeded moments: nothing torn is ever visible, and the next run goes on and ends with the same digests.
//
// usage: kill_test [number of kills]
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/cas/action_cache.h"
#include "executor/engine/engine.h"
#include "executor/engine/home.h"
#include "executor/engine/pipeline_builder.h"
#include "executor/engine/run_log.h"

namespace millrace {
namespace {

int num_kills = 20;

// Two layers with large and small files, so that a kill can fall into hashing, moving and appending.
void Build(PipelineBuilder& builder) {
  for (int i = 0; i < 6; ++i) {
    builder.Shell(
        absl::StrCat("a", i),
        absl::StrCat("for f in 1 2 3; do yes ", i, "$f | head -c 300000 > out/out/$f; done; echo ", i, " > out/out/s"));
    builder.Shell(absl::StrCat("b", i),
                  absl::StrCat("cat in/a", i, "/* > out/out/all; cksum < out/out/all > out/out/sum"),
                  {absl::StrCat("a", i)});
  }
}

// Every entry that can be found is whole: all of its bytes are there, and right.
void CheckHome(const std::string& home) {
  auto cas = *Cas::Open(home + "/cas");
  auto cache = *ActionCache::Open(*cas, BootId());
  const auto items = *cache->ListItems();
  for (const auto& item : items) {
    for (const Digest& tree : item.trees) ASSERT_TRUE(cas->VerifyTree(tree, 2).ok());
  }
}

TEST(KillTest, TheNextRunContinues) {
  const std::string folder = *MakeTempDirectory("kill");
  EngineOptions options;
  options.jobs = 2;
  PipelineBuilder builder;
  Build(builder);

  options.home = folder + "/undisturbed";
  const absl::Time begin = absl::Now();
  const RunResult undisturbed = *(*Engine::Create(options, nullptr))->Run(builder.pipeline(), nullptr);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  ASSERT_EQ(undisturbed.exit_status, 0);

  std::mt19937 random(20240613);
  int num_killed = 0;
  for (int kill = 0; kill < num_kills; ++kill) {
    // A new home every few kills, so that each part of a run is hit.
    options.home = absl::StrCat(folder, "/home", kill / 4);
    const pid_t child = ::fork();
    if (child == 0) {
      auto engine = *Engine::Create(options, nullptr);
      engine->Run(builder.pipeline(), nullptr).IgnoreError();
      ::_exit(0);
    }
    absl::SleepFor(absl::Seconds(std::uniform_real_distribution<double>(0, seconds / 2)(random)));
    ::kill(child, SIGKILL);
    int status;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    num_killed += WIFSIGNALED(status);
    CheckHome(options.home);
    const auto log = RunLogReader::Open(options.home + "/latest/test");
    if (log.ok()) {
      EXPECT_TRUE((*log)->Read([](const RunEvent&) {}).ok());
    }
    if (kill % 4 != 3 && kill != num_kills - 1) continue;
    RunResult result = *(*Engine::Create(options, nullptr))->Run(builder.pipeline(), nullptr);
    EXPECT_EQ(result.exit_status, 0);
    for (const auto& [stage, entry] : undisturbed.entries)
      EXPECT_EQ(result.entries.at(stage).output(0).digest(), entry.output(0).digest()) << stage;
    CheckHome(options.home);
    result.work_folders.reset();
    // What ends a killed run's stages holds its lease until they are gone: then the next run cleans up behind it.
    for (int tries = 0; tries < 200 && !ListFiles(options.home + "/work")->empty(); ++tries) {
      absl::SleepFor(absl::Milliseconds(50));
      Home(options.home).CleanUp();
    }
    EXPECT_TRUE(ListFiles(options.home + "/work")->empty());
    EXPECT_TRUE(RemoveTree(options.home).ok());
  }
  EXPECT_GT(num_killed, num_kills / 4);  // others were over before their moment
  EXPECT_TRUE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) millrace::num_kills = std::atoi(argv[1]);
  return RUN_ALL_TESTS();
}
