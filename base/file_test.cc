#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace millrace {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("file_test"); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path(absl::string_view name) const { return JoinPath(folder_, name); }
  std::string folder_;
};

TEST_F(FileTest, WritesAndReads) {
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomic(Path("f"), bytes).ok());
  EXPECT_EQ(*ReadFile(Path("f")), bytes);
  EXPECT_EQ(*FileSize(Path("f")), 4);
  EXPECT_EQ(MappedFile::Open(Path("f"))->data(), bytes);
  // Nothing is left beside it.
  EXPECT_EQ(*ListFiles(folder_), std::vector<std::string>{"f"});
}

TEST_F(FileTest, SaysWhatIsMissing) {
  const absl::Status status = ReadFile(Path("none")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "open " + Path("none") + ": No such file or directory");
}

TEST_F(FileTest, ListsInByteOrder) {
  ASSERT_TRUE(CreateDirectories(Path("b/c")).ok());
  ASSERT_TRUE(WriteFile(Path("b/c/x"), "").ok());
  ASSERT_TRUE(WriteFile(Path("b-1"), "").ok());
  ASSERT_TRUE(WriteFile(Path("Z"), "").ok());
  EXPECT_EQ(*ListFiles(folder_), (std::vector<std::string>{"Z", "b-1", "b/c/x"}));
}

TEST_F(FileTest, RemovesReadOnlyTrees) {
  ASSERT_TRUE(CreateDirectories(Path("t/u")).ok());
  ASSERT_TRUE(WriteFile(Path("t/u/x"), "1").ok());
  ::chmod(Path("t/u").c_str(), 0555);
  EXPECT_TRUE(RemoveTree(Path("t")).ok());
  EXPECT_FALSE(FileExists(Path("t")));
  EXPECT_TRUE(RemoveTree(Path("t")).ok());
}

TEST_F(FileTest, WriterKeepsTheFirstError) {
  auto writer = FileWriter::Create("/dev/full");
  ASSERT_TRUE(writer.ok());
  writer->Append("x");
  EXPECT_EQ(writer->Close().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(FileTest, WriterBuffersLargeContent) {
  auto writer = FileWriter::Create(Path("big"));
  ASSERT_TRUE(writer.ok());
  std::string expected;
  for (int i = 0; i < 100000; ++i) {
    writer->Append("0123456");
    expected += "0123456";
  }
  ASSERT_TRUE(writer->Close().ok());
  EXPECT_EQ(writer->size_bytes(), 700000);
  EXPECT_EQ(*ReadFile(Path("big")), expected);
}

TEST(PathTest, Joins) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("a", "/b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(BaseName("a/b.c"), "b.c");
}

}  // namespace
}  // namespace millrace
