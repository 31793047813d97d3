#include "executor/graph/glob.h"

#include <unistd.h>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct MatchCase {
  const char* pattern;
  const char* path;
  bool matches;
};

TEST(Glob, Matches) {
  const MatchCase cases[] = {
      {"a.txt", "a.txt", true},
      {"*.txt", "a.txt", true},
      {"*.txt", "b/a.txt", false},
      {"*/a.txt", "b/a.txt", true},
      {"**/a.txt", "a.txt", true},
      {"**/a.txt", "x/y/a.txt", true},
      {"**", "x/y", true},
      {"x/**", "x/y/z", true},
      {"x/**/z", "x/z", true},
      {"x/**/z", "x/y/q/z", true},
      {"x/**/z", "y/x/z", false},
      {"**/html/*", "d/html/i", true},
      {"**/html/*", "d/html/j/i", false},
      {"?.txt", "é.txt", true},
      {"?.txt", "ab.txt", false},
      {"a*b*c", "aXbYbc", true},
      {"a*b*c", "aXbYb", false},
      {"**/**", "a", true},
  };
  for (const MatchCase& c : cases) EXPECT_EQ(MatchesGlob(c.pattern, c.path), c.matches) << c.pattern << " " << c.path;
}

class ExpandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = *MakeTempDirectory("glob");
    for (const char* path : {"b.txt", "a.txt", "x/a.txt", "x/y/c.jsonl", "x/y/a.txt", "z/c.jsonl"}) {
      const std::string full = JoinPath(root_, path);
      ASSERT_TRUE(CreateDirectories(full.substr(0, full.rfind('/'))).ok());
      ASSERT_TRUE(WriteFile(full, path).ok());
    }
  }
  std::vector<std::string> Expand(const char* pattern) {
    const auto found = ExpandGlob(root_, pattern);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::vector<std::string>();
  }
  std::string root_;
};

TEST_F(ExpandTest, ExpandsInByteOrder) {
  EXPECT_THAT(Expand("*.txt"), ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(Expand("**/*.txt"), ElementsAre("a.txt", "b.txt", "x/a.txt", "x/y/a.txt"));
  EXPECT_THAT(Expand("x/y/a.txt"), ElementsAre("x/y/a.txt"));
  EXPECT_THAT(Expand("*/c.jsonl"), ElementsAre("z/c.jsonl"));
  EXPECT_THAT(Expand("x/**"), ElementsAre("x/a.txt", "x/y/a.txt", "x/y/c.jsonl"));
  EXPECT_THAT(Expand("./x/?.txt"), ElementsAre("x/a.txt"));
  EXPECT_THAT(Expand("nothing"), IsEmpty());
  EXPECT_THAT(Expand("a.txt/below"), IsEmpty());
}

TEST_F(ExpandTest, FollowsLinksAndSkipsThoseThatLeadNowhere) {
  ASSERT_EQ(symlink("y", JoinPath(root_, "x/link").c_str()), 0);
  ASSERT_EQ(symlink("gone", JoinPath(root_, "x/broken.txt").c_str()), 0);
  EXPECT_THAT(Expand("x/*/a.txt"), ElementsAre("x/link/a.txt", "x/y/a.txt"));
  EXPECT_THAT(Expand("x/*.txt"), ElementsAre("x/a.txt"));
}

TEST_F(ExpandTest, RefusesPathsOutsideTheRoot) {
  EXPECT_EQ(ExpandGlob(root_, "/etc/*").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ExpandGlob(root_, "x/../../*").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ExpandGlob(root_, "").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExpandTest, ALoopOfLinksIsAnError) {
  ASSERT_EQ(symlink(".", JoinPath(root_, "x/loop").c_str()), 0);
  EXPECT_FALSE(ExpandGlob(root_, "x/**/a.txt").ok());
}

TEST(Glob, SplitsRoots) {
  EXPECT_EQ(SplitRoot("corpora://wiki/*").root, "corpora");
  EXPECT_EQ(SplitRoot("corpora://wiki/*").path, "wiki/*");
  EXPECT_EQ(SplitRoot("docs/a").root, "");
  EXPECT_EQ(SplitRoot("docs/a").path, "docs/a");
}

}  // namespace
}  // namespace millrace
