#include "executor/engine/external_inputs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"

namespace millrace {
namespace {

class ExternalInputsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("external_inputs");
    memo_ = *FileMemo::Open(folder_ + "/memo");
    ASSERT_TRUE(WriteFile(folder_ + "/a", "a").ok());
    ASSERT_TRUE(WriteFile(folder_ + "/b c", "bc").ok());
    input_.name = "files";
    input_.files = {{"d/a", folder_ + "/a"}, {"d/b c", folder_ + "/b c"}};
    input_.lock = folder_ + "/lock";
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  DigestedInput Digested() { return *DigestInput(input_, *memo_, 2); }
  std::string folder_;
  std::unique_ptr<FileMemo> memo_;
  ExternalInput input_;
};

TEST_F(ExternalInputsTest, DigestIsOfRelativePathsAndContent) {
  const DigestedInput digested = Digested();
  ASSERT_EQ(::chmod((folder_ + "/a").c_str(), 0755), 0);
  EXPECT_EQ(Digested().digest, digested.digest);
  ASSERT_TRUE(RenameFile(folder_ + "/a", folder_ + "/moved").ok());
  input_.files[0].absolute_path = folder_ + "/moved";
  EXPECT_EQ(Digested().digest, digested.digest);
  input_.files[0].relative_path = "e/a";
  EXPECT_NE(Digested().digest, digested.digest);
}

TEST_F(ExternalInputsTest, LinksAndChanges) {
  const DigestedInput digested = Digested();
  ASSERT_TRUE(LayOutInput(input_, folder_ + "/in", /*copy=*/false).ok());
  EXPECT_EQ(*ReadFile(folder_ + "/in/d/b c"), "bc");
  EXPECT_TRUE(CheckUnchanged(input_, digested).ok());
  ASSERT_TRUE(WriteFile(folder_ + "/a", "b").ok());
  EXPECT_EQ(CheckUnchanged(input_, digested).code(), absl::StatusCode::kAborted);
}

TEST_F(ExternalInputsTest, LockFile) {
  EXPECT_EQ(CompareWithLock(input_, Digested().tree)->size(), 1);
  ASSERT_TRUE(WriteLock(input_, Digested().tree).ok());
  EXPECT_TRUE(CompareWithLock(input_, Digested().tree)->empty());
  ASSERT_TRUE(WriteFile(folder_ + "/a", "longer").ok());
  input_.files[1].relative_path = "new";
  EXPECT_EQ(*CompareWithLock(input_, Digested().tree),
            (std::vector<std::string>{"d/a: 6 bytes, locked 1", "new: not in the lock file",
                                      "d/b c: locked, and not there"}));
  ASSERT_TRUE(WriteFile(folder_ + "/lock", "nonsense\n").ok());
  EXPECT_EQ(CompareWithLock(input_, Digested().tree).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace
