#include "executor/cli/paths.h"

#include <map>

#include "absl/strings/match.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

class PathsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = MakeTempDirectory("paths").value();
    ASSERT_TRUE(CreateDirectories(root_ + "/repo/pipelines/deep").ok());
    ASSERT_TRUE(CreateDirectories(root_ + "/repo/.git").ok());
    ASSERT_TRUE(CreateDirectories(root_ + "/elsewhere").ok());
    ASSERT_TRUE(WriteFile(root_ + "/repo/pipelines/tiny.textproto", "").ok());
    ASSERT_TRUE(WriteFile(root_ + "/elsewhere/own.textproto", "").ok());
    variables_ = {{"HOME", "/home/me"}, {"BUILD_WORKING_DIRECTORY", root_ + "/repo/pipelines"}};
  }

  Variables Env() {
    return [this](const char* name) -> const char* {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    };
  }
  absl::StatusOr<Paths> Find(const std::string& file, Arguments arguments = {}) {
    return FindPaths(arguments, file, "/bin/millrace", Env());
  }

  std::string root_;
  std::map<std::string, std::string> variables_;
};

TEST_F(PathsTest, RelativePathsAreTheUsers) {
  const Paths paths = Find("tiny.textproto").value();
  EXPECT_EQ(paths.file, root_ + "/repo/pipelines/tiny.textproto");
  EXPECT_EQ(paths.workspace, root_ + "/repo");
  EXPECT_EQ(paths.file_shown, "pipelines/tiny.textproto");
  EXPECT_EQ(paths.out, root_ + "/repo/millrace-out");
  EXPECT_EQ(paths.home, "/home/me/.cache/millrace");
  EXPECT_EQ(paths.Resolve("x/y"), root_ + "/repo/pipelines/x/y");
  EXPECT_EQ(paths.Shown(root_ + "/repo/pipelines/x"), "x");
  EXPECT_EQ(paths.Shown("/tmp/x"), "/tmp/x");
}

TEST_F(PathsTest, APipelineCanBeNamedByItsName) {
  variables_["BUILD_WORKING_DIRECTORY"] = root_ + "/repo";
  EXPECT_EQ(Find("tiny").value().file, root_ + "/repo/pipelines/tiny.textproto");
  EXPECT_TRUE(LooksLikeFile("tiny", Env()));
  EXPECT_FALSE(LooksLikeFile("pretrain", Env()));
  EXPECT_TRUE(LooksLikeFile("absent.textproto", Env()));
}

TEST_F(PathsTest, AFileOutsideAWorkspace) {
  variables_["BUILD_WORKING_DIRECTORY"] = root_ + "/elsewhere";
  const Paths paths = Find("own.textproto").value();
  EXPECT_EQ(paths.workspace, root_ + "/elsewhere");
  EXPECT_EQ(paths.file_shown, "own.textproto");
}

TEST_F(PathsTest, FlagsAndVariables) {
  Arguments arguments;
  arguments.home = "h";
  arguments.out = "/o";
  Paths paths = Find("tiny.textproto", arguments).value();
  EXPECT_EQ(paths.home, root_ + "/repo/pipelines/h");
  EXPECT_EQ(paths.out, "/o");
  variables_["XDG_CACHE_HOME"] = "/cache";
  EXPECT_EQ(Find("").value().home, "/cache/millrace");
  variables_["BUILD_WORKSPACE_DIRECTORY"] = "/source";
  EXPECT_EQ(Find("").value().workspace, "/source");
  variables_.clear();
  EXPECT_EQ(Find("").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PathsTest, Manifests) {
  ASSERT_TRUE(CreateDirectories(root_ + "/bin/p.runfiles/millrace/pipelines").ok());
  const std::string manifest = root_ + "/bin/p.runfiles/millrace/pipelines/p_manifest.json";
  ASSERT_TRUE(WriteFile(manifest, "{}").ok());
  Arguments arguments;
  arguments.manifest = manifest;
  EXPECT_EQ(Find("", arguments).value().runfiles, root_ + "/bin/p.runfiles");
  ASSERT_TRUE(WriteFile(root_ + "/bin/p.runfiles/millrace/millrace_manifest.json", "{}").ok());
  const Paths paths = FindPaths({}, "", root_ + "/bin/p", Env()).value();
  EXPECT_EQ(paths.manifest, root_ + "/bin/p.runfiles/millrace/millrace_manifest.json");
  EXPECT_EQ(paths.runfiles, root_ + "/bin/p.runfiles");
  EXPECT_EQ(Find("").value().manifest, "");
  arguments.manifest = "/absent.json";
  EXPECT_EQ(Find("", arguments).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PathsTest, ATypoGetsASuggestion) {
  EXPECT_TRUE(absl::StrContains(Find("tny.textproto").status().message(), "fix: tiny.textproto"))
      << Find("tny.textproto").status();
  EXPECT_TRUE(absl::StrContains(Find("plna").status().message(), "fix: plan")) << Find("plna").status();
}

}  // namespace
}  // namespace millrace
