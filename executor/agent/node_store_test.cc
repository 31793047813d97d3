#include "executor/agent/node_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace millrace {
namespace {

class NodeStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("node_store");
    store_ = *NodeStore::Open(JoinPath(folder_, "store"));
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  // A tree of one file.
  static Tree TreeOf(const std::string& content) {
    Tree tree;
    tree.files.push_back({"folder/file", Digest::Of(content), static_cast<int64_t>(content.size()), true});
    return tree;
  }
  void Send(const std::string& content) {
    const auto received = store_->Receive(Digest::Of(content), content.size(), 0, content);
    ASSERT_TRUE(received.ok() && *received) << received.status();
  }
  std::string Work(const std::string& name) { return JoinPath(folder_, name); }

  std::string folder_;
  std::unique_ptr<NodeStore> store_;
};

TEST_F(NodeStoreTest, AsksForWhatIsMissingAndTakesItInPieces) {
  const std::string content(1 << 20, 'x');
  const Tree tree = TreeOf(content);
  const Digest digest = Digest::Of(tree.Canonical());
  std::vector<MissingBlob> missing = store_->Missing(digest);
  ASSERT_EQ(missing.size(), 1);
  EXPECT_EQ(missing[0].digest, digest);
  Send(tree.Canonical());
  missing = store_->Missing(digest);
  ASSERT_EQ(missing.size(), 1);
  EXPECT_EQ(missing[0].digest, Digest::Of(content));
  EXPECT_FALSE(*store_->Receive(Digest::Of(content), content.size(), 0, content.substr(0, 1000)));
  missing = store_->Missing(digest);
  ASSERT_EQ(missing.size(), 1);
  EXPECT_EQ(missing[0].bytes_there, 1000);
  EXPECT_TRUE(*store_->Receive(Digest::Of(content), content.size(), 1000, content.substr(1000)));
  EXPECT_TRUE(store_->Missing(digest).empty());
  ASSERT_TRUE(store_->LayOut(digest, Work("work"), MaterializeMode::kCopy).ok());
  EXPECT_EQ(*ReadFile(Work("work/folder/file")), content);
  const std::string tool = *store_->Tool(digest);
  struct stat s;
  ASSERT_EQ(::stat(JoinPath(tool, "folder/file").c_str(), &s), 0);
  EXPECT_TRUE((s.st_mode & 0111) != 0);
  EXPECT_TRUE(store_->HasTool(digest));
}

TEST_F(NodeStoreTest, RefusesOtherBytes) {
  const std::string content(1 << 20, 'x');
  const Digest digest = Digest::Of("something else");
  EXPECT_EQ(store_->Receive(digest, 4, 0, "abcd").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Receive(digest, content.size(), 0, content).status().code(), absl::StatusCode::kDataLoss);
  // What was dropped is sent from its beginning.
  EXPECT_EQ(store_->Missing(digest).at(0).bytes_there, 0);
}

TEST_F(NodeStoreTest, PublishesAndReadsFromAnyPlace) {
  ASSERT_TRUE(CreateDirectories(Work("out")).ok());
  ASSERT_TRUE(WriteFile(Work("out/small"), "small").ok());
  ASSERT_TRUE(WriteFile(Work("out/large"), std::string(1 << 20, 'x')).ok());
  const PublishedTree published = *store_->Publish(Work("out"));
  EXPECT_TRUE(store_->Missing(published.digest).empty());
  std::string read;
  const auto take = [&](int64_t, int64_t, absl::string_view data) {
    absl::StrAppend(&read, data);
    return true;
  };
  ASSERT_TRUE(store_->Read(Digest::Of(std::string(1 << 20, 'x')), 3, take).ok());
  EXPECT_EQ(read.size(), (1 << 20) - 3);
  read.clear();
  ASSERT_TRUE(store_->Read(Digest::Of("small"), 2, take).ok());
  EXPECT_EQ(read, "all");
  EXPECT_EQ(store_->Read(Digest::Of("none"), 0, take).code(), absl::StatusCode::kNotFound);
}

TEST_F(NodeStoreTest, StartsEmptyAfterAnotherBoot) {
  const Tree tree = TreeOf("content");
  const Digest digest = Digest::Of(tree.Canonical());
  Send("content");
  Send(tree.Canonical());
  store_ = *NodeStore::Open(JoinPath(folder_, "store"));
  EXPECT_TRUE(store_->Missing(digest).empty());
  store_.reset();
  ASSERT_TRUE(WriteFile(JoinPath(folder_, "store/boot"), "another").ok());
  store_ = *NodeStore::Open(JoinPath(folder_, "store"));
  EXPECT_EQ(store_->Missing(digest).size(), 1);
}

TEST_F(NodeStoreTest, DropsTheOldestButNotWhatIsPinned) {
  ASSERT_TRUE(CreateDirectories(Work("out")).ok());
  ASSERT_TRUE(WriteFile(Work("out/made"), std::string(100'000, 'p')).ok());
  const PublishedTree pinned = *store_->Publish(Work("out"));
  std::vector<Digest> trees;
  for (int i = 0; i < 10; ++i) {
    const std::string content = absl::StrCat(i, std::string(100'000, 'x'));
    const Tree tree = TreeOf(content);
    trees.push_back(Digest::Of(tree.Canonical()));
    Send(content);
    // Used at different times.
    const std::string hex = Digest::Of(content).Hex();
    const struct timespec times[2] = {{1'700'000'000 + i, 0}, {1'700'000'000 + i, 0}};
    ASSERT_EQ(
        ::utimensat(AT_FDCWD, absl::StrCat(folder_, "/store/cas/blobs/", hex.substr(0, 2), "/", hex).c_str(), times, 0),
        0);
    Send(tree.Canonical());
  }
  ASSERT_TRUE(store_->Bound(500'000, absl::ZeroDuration()).ok());
  EXPECT_TRUE(store_->Missing(pinned.digest).empty());
  // Small blobs, the trees among them, have gone; of the large ones the last ones are there.
  int there = 0;
  for (int i = 0; i < 10; ++i) {
    Send(TreeOf(absl::StrCat(i, std::string(100'000, 'x'))).Canonical());
    const bool is_there = store_->Missing(trees[i]).empty();
    EXPECT_EQ(is_there, i >= 7) << i;
    there += is_there;
  }
  store_->Unpin(pinned);
  ASSERT_TRUE(store_->Bound(0, absl::ZeroDuration()).ok());
  EXPECT_FALSE(store_->Missing(pinned.digest).empty());
  EXPECT_GT(there, 0);
}

}  // namespace
}  // namespace millrace
