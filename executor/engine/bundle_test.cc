// Runs as files; pins.
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "executor/engine/engine.h"
#include "executor/engine/pipeline_builder.h"

namespace millrace {
namespace {

class BundleTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("bundle"); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  PipelineBuilder Pipeline(const std::string& version = "1") {
    PipelineBuilder builder;
    builder.Shell("a", absl::StrCat("seq 20000 > out/out/x; mkdir out/out/empty; echo ", version, " > out/out/small"));
    builder.Shell("b", "sort in/a/x > out/out/x; cp in/a/small out/out; echo said", {"a"});
    return builder;
  }
  std::unique_ptr<Engine> Open(const std::string& home) {
    EngineOptions options;
    options.home = JoinPath(folder_, home);
    options.jobs = 2;
    return *Engine::Create(options, nullptr);
  }
  RunResult Run(Engine& engine, PipelineBuilder builder) {
    last_.clear();
    return *engine.Run(builder.pipeline(), [this](const RunEvent& event) {
      if (event.has_stage_changed()) last_[event.stage_changed().stage()] = event.stage_changed().state();
    });
  }
  std::string folder_;
  std::map<std::string, StageState> last_;
};

TEST_F(BundleTest, ARunGoesToAnotherHomeAsOneFile) {
  const auto a = Open("a"), b = Open("b");
  const RunResult run = Run(*a, Pipeline());
  const std::string file = folder_ + "/run.tar";
  const BundleReport out = *a->Export(run.run_id, file);
  EXPECT_EQ(out.results, 2);
  EXPECT_EQ(out.results_without_bytes, 0);
  const BundleReport in = *b->Import(file);
  EXPECT_EQ(in.run_id, run.run_id);
  EXPECT_EQ(in.pipeline, "test");
  EXPECT_EQ(in.results, 2);
  EXPECT_EQ(in.results_without_bytes, 0);
  EXPECT_EQ(in.size_bytes, out.size_bytes);
  EXPECT_TRUE(FileExists(absl::StrCat(folder_, "/b/runs/", run.run_id, "/events.log")));
  EXPECT_TRUE(FileExists(absl::StrCat(folder_, "/b/runs/", run.run_id, "/stages/b/rank0.attempt1.log")));

  const RunResult again = Run(*b, Pipeline());
  EXPECT_EQ(last_["a"], CACHED);
  EXPECT_EQ(last_["b"], CACHED);
  EXPECT_EQ(again.entries.at("b").output(0).digest(), run.entries.at("b").output(0).digest());
  EXPECT_EQ(*ReadFile(*b->Materialize(again.entries.at("b").output(0)) + "/small"), "1\n");
  EXPECT_TRUE(b->Import(file).ok());  // again: nothing happens
}

TEST_F(BundleTest, ADamagedFileIsRefused) {
  const auto a = Open("a"), b = Open("b");
  const RunResult run = Run(*a, Pipeline());
  const std::string file = folder_ + "/run.tar";
  ASSERT_TRUE(a->Export(run.run_id, file).ok());
  std::string bytes = *ReadFile(file);
  ASSERT_TRUE(WriteFile(file, bytes.substr(0, bytes.size() / 2)).ok());
  EXPECT_EQ(b->Import(file).status().code(), absl::StatusCode::kDataLoss);
  bytes[bytes.find("19999\n")] ^= 1;
  ASSERT_TRUE(WriteFile(file, bytes).ok());
  EXPECT_EQ(b->Import(file).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(b->Plan(Pipeline().pipeline())->at(0).status == StagePlan::Status::kRun);
  ASSERT_TRUE(WriteFile(file, "not a tar").ok());
  EXPECT_EQ(b->Import(file).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(b->Import(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a->Export("none", file).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BundleTest, WhatIsPinnedStays) {
  const auto engine = Open("home");
  const std::string first = Run(*engine, Pipeline()).run_id;  // its lease ends with the result
  Run(*engine, Pipeline("2"));
  EXPECT_EQ(*engine->PinRun("paper", first), 2);
  EXPECT_EQ(engine->CollectGarbage({.dry_run = true})->results.entries_kept, 2);
  EXPECT_EQ(engine->CollectGarbage({})->results.entries_without_bytes, 2);
  Run(*engine, Pipeline());
  EXPECT_EQ(last_["b"], CACHED);
  EXPECT_EQ(engine->PinRun("../x", first).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(engine->PinRun("x", "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(engine->RemovePin("paper").ok());
  EXPECT_EQ(engine->RemovePin("paper").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(engine->CollectGarbage({})->results.entries_kept, 0);
}

}  // namespace
}  // namespace millrace
