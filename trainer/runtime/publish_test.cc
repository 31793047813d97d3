#include "trainer/runtime/publish.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/comm/thread_comm.h"
#include "trainer/model/model.h"
#include "trainer/runtime/testing.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

// Publishes `steps` on `ranks` ranks; ranges of 1000 bytes make some hundred files.
std::vector<absl::Status> Publish(int ranks, const std::vector<int64_t>& steps, const PublishOptions& options,
                                  const std::function<std::string(int)>& folder_of) {
  return RunThreadGang(ranks, [&](Comm& comm) -> absl::Status {
    TrainState state(BuildModel(SmallModel(true), 8));
    state.Initialize(9);
    PublishOptions own = options;
    own.folder = folder_of(comm.rank());
    own.model_json = "{}";
    own.range_bytes = 1000;
    CheckpointPublisher publisher(state, comm, own);
    for (const int64_t step : steps) RETURN_IF_ERROR(publisher.Publish(step));
    return absl::OkStatus();
  });
}

void ExpectOk(const std::vector<absl::Status>& statuses) {
  for (const absl::Status& status : statuses) EXPECT_EQ(status, absl::OkStatus());
}

std::map<std::string, std::string> FilesOf(const std::string& folder) {
  std::map<std::string, std::string> files;
  const std::vector<std::string> names = *ListFiles(folder);
  for (const std::string& file : names) files[file] = *ReadFile(JoinPath(folder, file));
  return files;
}

TEST(PublishTest, TheSameFilesFromAnyNumberOfRanks) {
  std::map<std::string, std::string> reference;
  for (const int ranks : {1, 2, 3}) {
    const std::string folder = *MakeTempDirectory("publish");
    std::vector<std::string> announced;
    PublishOptions options;
    options.announce = [&](const std::string& path, int64_t step) {
      announced.push_back(absl::StrCat(path, " ", step));
      return absl::OkStatus();
    };
    ExpectOk(Publish(ranks, {7, 8}, options, [&](int) { return folder; }));
    EXPECT_EQ(announced, (std::vector<std::string>{folder + "/step-000007 7", folder + "/step-000008 8"}));
    if (ranks == 1) reference = FilesOf(folder);
    EXPECT_EQ(FilesOf(folder), reference);
    EXPECT_GT(reference.size(), 20u);
  }
}

TEST(PublishTest, WithoutACommonFileSystemRankZeroWritesAll) {
  const std::string here = *MakeTempDirectory("publish"), there = *MakeTempDirectory("publish");
  ExpectOk(Publish(2, {7}, {}, [&](int rank) { return rank == 0 ? here : there; }));
  const auto reader = CheckpointReader::Open(here + "/step-000007");
  EXPECT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(ListFiles(there)->size(), 0u);
}

TEST(PublishTest, WaitsWhileTwoAreThere) {
  const std::string folder = *MakeTempDirectory("publish");
  std::atomic<int> announced = 0;
  PublishOptions options;
  options.announce = [&](const std::string&, int64_t) {
    ++announced;
    return absl::OkStatus();
  };
  std::thread publishing([&] { ExpectOk(Publish(2, {1, 2, 3}, options, [&](int) { return folder; })); });
  while (announced < 2) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(announced, 2);
  EXPECT_TRUE(RemoveTree(folder + "/step-000001").ok());
  publishing.join();
  EXPECT_EQ(announced, 3);
}

TEST(PublishTest, DoesNotWaitWhenInterrupted) {
  const std::string folder = *MakeTempDirectory("publish");
  PublishOptions options;
  options.interrupted = [] { return true; };
  ExpectOk(Publish(2, {1, 2, 3}, options, [&](int) { return folder; }));
  EXPECT_TRUE(IsDirectory(folder + "/step-000003"));
}

TEST(PublishTest, WhatCannotBeWrittenIsNotPublished) {
  const std::string folder = *MakeTempDirectory("publish");
  // A file where the folder should be.
  ASSERT_TRUE(WriteFile(folder + "/file", "").ok());
  const auto statuses = Publish(2, {1}, {}, [&](int) { return folder + "/file"; });
  EXPECT_FALSE(statuses[0].ok());
  EXPECT_THAT(std::string(statuses[1].message()), HasSubstr("creating the checkpoint: rank 0 failed"));
}

TEST(PublishTest, WhatCannotBeAnnouncedEndsTheStage) {
  const std::string folder = *MakeTempDirectory("publish");
  PublishOptions options;
  options.announce = [](const std::string&, int64_t) { return absl::ResourceExhaustedError("no space"); };
  EXPECT_EQ(Publish(1, {1, 2, 3}, options, [&](int) { return folder; })[0], absl::ResourceExhaustedError("no space"));
}

TEST(TrainStateTest, RoundTripThroughACheckpoint) {
  const std::string folder = *MakeTempDirectory("publish");
  ExpectOk(Publish(1, {1}, {}, [&](int) { return folder; }));
  const auto reader = CheckpointReader::Open(folder + "/step-000001");
  ASSERT_TRUE(reader.ok());
  const auto model = BuildModel(SmallModel(true), 8);
  TrainState fresh(model), loaded(model);
  fresh.Initialize(9);
  ASSERT_EQ(loaded.Load(*reader), absl::OkStatus());
  EXPECT_EQ(DigestOf(loaded), DigestOf(fresh));
  TrainState untied(BuildModel(SmallModel(false), 8));
  EXPECT_THAT(std::string(untied.Load(*reader).message()),
              HasSubstr("is of another model: \"weights/lm_head.weight\" is missing"));
}

}  // namespace
}  // namespace millrace::trainer
