#include "executor/engine/work_folders.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace millrace {
namespace {

TEST(WorkFoldersTest, AFolderIsEmptyAgainWhateverAStageDidToIt) {
  const std::string root = *MakeTempDirectory("work_folders");
  {
    WorkFolders folders(root + "/work");
    const std::string a = *folders.Take({"out", "other"});
    EXPECT_NE(*folders.Take({"out"}), a);
    const auto vandalize = [&] {
      ASSERT_TRUE(CreateDirectories(a + "/out/out/deep").ok());
      ASSERT_TRUE(CreateDirectories(a + "/out/more").ok());
      ASSERT_TRUE(CreateDirectories(a + "/.cache").ok());
      for (const char* name : {"/out/out/x", "/out/out/deep/y", "/out/more/z", "/.cache/c", "/in/i", "/events.0"})
        ASSERT_TRUE(WriteFile(a + name, std::string(name[1] == 'i' ? 100000 : 10, 'x')).ok());
      ASSERT_EQ(::symlink("/", (a + "/in/link").c_str()), 0);
      ASSERT_EQ(::mkfifo((a + "/out/out/fifo").c_str(), 0666), 0);
    };
    vandalize();
    folders.GiveBack(a);
    EXPECT_EQ(*folders.Take({"out", "third"}), a);
    EXPECT_TRUE(ListFiles(a)->empty());
    EXPECT_FALSE(FileExists(a + "/in/link"));
    EXPECT_FALSE(FileExists(a + "/out/out/fifo"));
    EXPECT_FALSE(FileExists(a + "/out/other"));
    EXPECT_FALSE(FileExists(a + "/out/out/deep"));
    EXPECT_TRUE(IsDirectory(a + "/out/third"));
    // Even without its folders.
    ASSERT_TRUE(RemoveTree(a + "/out").ok());
    ASSERT_EQ(::symlink(root.c_str(), (a + "/out").c_str()), 0);
    folders.GiveBack(a);
    EXPECT_EQ(*folders.Take({"out"}), a);
    EXPECT_TRUE(IsDirectory(a + "/out/out"));
    EXPECT_FALSE(FileExists(root + "/out"));
  }
  EXPECT_FALSE(FileExists(root + "/work"));
  EXPECT_TRUE(RemoveTree(root).ok());
}

}  // namespace
}  // namespace millrace
