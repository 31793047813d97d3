#include "executor/engine/tool_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace millrace {
namespace {

class ToolStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("tool_store");
    memo_ = *FileMemo::Open(folder_ + "/memo");
    Write("bin/run", "#!/bin/sh\ncat $(dirname $0)/../lib/text\n", 0755);
    Write("lib/text", "hello\n", 0644);
    manifest_.tools["t"] = {"m/bin/run", {{"m/bin/run", folder_ + "/bin/run"}, {"m/lib/text", folder_ + "/lib/text"}}};
    manifest_.tools["u"] = {"m/lib/text", {{"m/lib/text", folder_ + "/lib/text"}}};
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  void Write(const std::string& path, const std::string& content, mode_t mode) {
    const std::string absolute = JoinPath(folder_, path);
    ASSERT_TRUE(CreateDirectories(absolute.substr(0, absolute.rfind('/'))).ok());
    ASSERT_TRUE(WriteFile(absolute, content).ok());
    ASSERT_EQ(::chmod(absolute.c_str(), mode), 0);
  }
  ToolStore Store(const std::string& boot_id = "boot-1") {
    return ToolStore(folder_ + "/tools", &manifest_, memo_.get(), boot_id, 2);
  }
  std::string folder_;
  std::unique_ptr<FileMemo> memo_;
  ToolManifest manifest_;
};

TEST_F(ToolStoreTest, IdentityIsPathsContentAndExecBit) {
  const Digest digest = *Store().DigestOf("t");
  EXPECT_EQ(*Store().DigestOf("t"), digest);
  Write("lib/text", "other\n", 0644);
  EXPECT_NE(*Store().DigestOf("t"), digest);
  Write("lib/text", "hello\n", 0755);
  EXPECT_NE(*Store().DigestOf("t"), digest);
  Write("lib/text", "hello\n", 0644);
  EXPECT_EQ(*Store().DigestOf("t"), digest);
  manifest_.tools["t"].files[1].logical_path = "m/lib/elsewhere";
  EXPECT_NE(*Store().DigestOf("t"), digest);
}

TEST_F(ToolStoreTest, ACopyIsRunWhateverIsBuiltMeanwhile) {
  ToolStore store = Store();
  const ToolStore::Installed installed = *store.Install("t");
  Write("lib/text", "rebuilt\n", 0644);
  EXPECT_EQ(*ReadFile(installed.root + "/m/lib/text"), "hello\n");
  EXPECT_EQ(::access(installed.executable.c_str(), X_OK), 0);
  EXPECT_EQ(store.Install("t")->root, installed.root);
  EXPECT_NE(Store().Install("t")->root, installed.root);
}

TEST_F(ToolStoreTest, SharedFilesAreThereOnce) {
  ToolStore store = Store();
  struct stat a, b;
  ASSERT_EQ(::stat((store.Install("t")->root + "/m/lib/text").c_str(), &a), 0);
  ASSERT_EQ(::stat((store.Install("u")->root + "/m/lib/text").c_str(), &b), 0);
  EXPECT_EQ(a.st_ino, b.st_ino);
}

TEST_F(ToolStoreTest, WhatAnotherBootLeftIsReadOnce) {
  const std::string text = Store().Install("t")->root + "/m/lib/text";
  const auto spoil = [&] {
    ASSERT_EQ(::chmod(text.c_str(), 0644), 0);
    ASSERT_TRUE(WriteFile(text, "?????\n").ok());
  };
  spoil();
  ASSERT_TRUE(Store().Install("u").ok());
  EXPECT_EQ(*ReadFile(text), "?????\n");
  ASSERT_TRUE(Store("boot-2").Install("u").ok());  // shares the file
  ASSERT_TRUE(Store("boot-2").Install("t").ok());
  EXPECT_EQ(*ReadFile(text), "hello\n");
  spoil();
  ASSERT_TRUE(Store("boot-2").Install("t").ok());
  EXPECT_EQ(*ReadFile(text), "?????\n");
}

TEST_F(ToolStoreTest, Errors) {
  ToolStore store = Store();
  EXPECT_EQ(store.DigestOf("none").status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(store.DigestOf("t").ok());
  Write("lib/text", "changed after the key was computed\n", 0644);
  EXPECT_EQ(store.Install("t").status().code(), absl::StatusCode::kAborted);
  ASSERT_EQ(::unlink((folder_ + "/bin/run").c_str()), 0);
  EXPECT_EQ(Store().DigestOf("t").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace
