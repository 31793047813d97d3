#include "executor/cas/file_memo.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"

namespace millrace {
namespace {

class FileMemoTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("file_memo");
    file_ = JoinPath(folder_, "file");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::unique_ptr<FileMemo> Open() { return *FileMemo::Open(JoinPath(folder_, "memo")); }
  std::string folder_, file_;
};

TEST_F(FileMemoTest, SeesEveryChangeHoweverYoungTheFile) {
  auto memo = Open();
  for (const char* content : {"aaaa", "bbbb", "cccc", ""}) {
    ASSERT_TRUE(WriteFile(file_, content).ok());
    EXPECT_EQ(memo->DigestOf(file_)->digest.Hex(), Sha256Hex(content));
    EXPECT_EQ(memo->DigestOf(file_)->digest.Hex(), Sha256Hex(content));
  }
  EXPECT_EQ(memo->DigestOf(folder_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(memo->DigestOf(JoinPath(folder_, "none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileMemoTest, IsStopped) {
  ASSERT_TRUE(WriteFile(file_, "aaaa").ok());
  std::atomic<int> stop = 0;
  auto memo = *FileMemo::Open(JoinPath(folder_, "memo"), &stop);
  EXPECT_TRUE(memo->DigestOf(file_).ok());
  stop = 1;
  EXPECT_EQ(memo->DigestOf(file_).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(FileMemoTest, RemembersOldFilesAcrossProcessesAndNoticesASetBackTime) {
  ASSERT_TRUE(WriteFile(file_, "aaaa").ok());
  {
    auto memo = Open();
    ASSERT_TRUE(memo->DigestOf(file_).ok());
    ASSERT_TRUE(memo->Flush().ok());
    EXPECT_LE(*FileSize(JoinPath(folder_, "memo")), 16);  // too young to be remembered
  }
  absl::SleepFor(absl::Milliseconds(2100));
  {
    auto memo = Open();
    ASSERT_TRUE(memo->DigestOf(file_).ok());
    ASSERT_TRUE(memo->Flush().ok());
    EXPECT_GT(*FileSize(JoinPath(folder_, "memo")), 72);
  }
  auto memo = Open();
  struct stat before;
  ASSERT_EQ(::stat(file_.c_str(), &before), 0);
  ASSERT_TRUE(WriteFile(file_, "bbbb").ok());
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, file_.c_str(), times, 0), 0);
  EXPECT_EQ(memo->DigestOf(file_)->digest.Hex(), Sha256Hex("bbbb"));
}

}  // namespace
}  // namespace millrace
