#include "executor/backends/overwrite.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace millrace {
namespace {

TEST(OverwriteTest, NeverThroughALink) {
  const std::string folder = *MakeTempDirectory("overwrite");
  const std::string file = folder + "/file", other = folder + "/other";
  ASSERT_TRUE(OverwriteFile(file, "long content").ok());
  ASSERT_TRUE(OverwriteFile(file, "short").ok());
  EXPECT_EQ(*ReadFile(file), "short");
  ASSERT_TRUE(WriteFile(other, "other").ok());
  for (const char* what : {"symbolic", "hard", "fifo", "folder"}) {
    ASSERT_TRUE(RemoveTree(file).ok());
    switch (what[1]) {
      case 'y':
        ASSERT_EQ(::symlink("other", file.c_str()), 0);
        break;
      case 'a':
        ASSERT_EQ(::link(other.c_str(), file.c_str()), 0);
        break;
      case 'i':
        ASSERT_EQ(::mkfifo(file.c_str(), 0666), 0);
        break;
      case 'o':
        ASSERT_TRUE(CreateDirectories(file + "/x").ok());
        break;
    }
    ASSERT_TRUE(OverwriteFile(file, "new").ok()) << what;
    EXPECT_EQ(*ReadFile(file), "new") << what;
    EXPECT_EQ(*ReadFile(other), "other") << what;
  }
  EXPECT_TRUE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace millrace
