#include "executor/cas/cas.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <random>

#include "base/file.h"

namespace millrace {
namespace {

constexpr size_t kLarge = 100'000;

class CasTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("cas");
    cas_ = *Cas::Open(Path("cas"));
    ASSERT_TRUE(CreateDirectories(Path("out/deep/er")).ok());
  }
  void TearDown() override {
    cas_.reset();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  std::string Path(absl::string_view name) const { return JoinPath(folder_, name); }
  void Write(absl::string_view name, absl::string_view content) { ASSERT_TRUE(WriteFile(Path(name), content).ok()); }
  static struct stat Stat(const std::string& path) {
    struct stat s = {};
    EXPECT_EQ(::stat(path.c_str(), &s), 0) << path;
    return s;
  }
  // Where a blob of its own file is.
  std::string BlobPath(const Digest& digest) const {
    return Path("cas/blobs/" + digest.Hex().substr(0, 2) + "/" + digest.Hex());
  }
  std::string folder_;
  std::unique_ptr<Cas> cas_;
};

TEST_F(CasTest, BlobsOfAnySizeComeBack) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, kLarge}) {
    const std::string content(size, 'x');
    const Digest digest = *cas_->Put(content);
    EXPECT_EQ(digest, Digest::Of(content));
    EXPECT_TRUE(cas_->Has(digest));
    EXPECT_EQ(*cas_->Get(digest), content);
    EXPECT_EQ(*(*Cas::Open(Path("cas")))->Get(digest), content);
    EXPECT_EQ(FileExists(BlobPath(digest)), size > 4096);
  }
  EXPECT_EQ(cas_->Get(Digest::Of("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CasTest, DamagedBlobsAreDropped) {
  const Digest digest = *cas_->Put(std::string(kLarge, 'x'));
  const std::string path = BlobPath(digest);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  ASSERT_TRUE(WriteFile(path, std::string(kLarge, 'y')).ok());
  EXPECT_EQ(cas_->Get(digest).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(cas_->Has(digest));
}

TEST_F(CasTest, AFileOfAnotherSizeIsNotThere) {
  Write("out/x", std::string(kLarge, 'x'));
  const PublishedTree published = *cas_->PutTree(Path("out"), 1);
  const std::string path = BlobPath(published.tree.files[0].digest);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  EXPECT_FALSE(cas_->HasTree(published.digest));
  EXPECT_FALSE(FileExists(path));
}

TEST_F(CasTest, CheckingStopsWhenItIsAskedTo) {
  Write("out/x", std::string(kLarge, 'x'));
  const PublishedTree published = *cas_->PutTree(Path("out"), 1);
  const std::atomic<int> stop = 1;
  EXPECT_EQ(cas_->VerifyTree(published.digest, 1, &stop).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(cas_->VerifyTree(published.digest, 1).ok());
}

TEST_F(CasTest, TreesRoundTripInEveryMode) {
  Write("out/small", "s");
  Write("out/deep/large", std::string(kLarge, 'l'));
  Write("out/deep/run.sh", "#!/bin/sh\n");
  ASSERT_EQ(::chmod(Path("out/deep/run.sh").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("large", Path("out/deep/link").c_str()), 0);
  const PublishedTree published = *cas_->PutTree(Path("out"), 2);
  EXPECT_FALSE(FileExists(Path("out/deep/large")));  // moved
  const Tree tree = *cas_->GetTree(published.digest);
  ASSERT_EQ(tree.files.size(), 4);
  EXPECT_EQ(tree.files[0].path, "deep/large");
  EXPECT_EQ(tree.files[1].digest, tree.files[0].digest);  // the link
  EXPECT_TRUE(tree.files[2].executable);
  EXPECT_EQ(tree.empty_folders, std::vector<std::string>{"deep/er"});
  EXPECT_TRUE(cas_->HasTree(published.digest));
  EXPECT_TRUE(cas_->VerifyTree(published.digest, 2).ok());

  const std::string blob = BlobPath(tree.files[0].digest);
  for (const auto& [name, mode] :
       {std::pair("hard", MaterializeMode::kHardLink), std::pair("copy", MaterializeMode::kCopy)}) {
    ASSERT_TRUE(cas_->Materialize(tree, Path(name), mode).ok());
    const std::string at = Path(name);
    EXPECT_EQ(*ReadFile(at + "/small"), "s");
    EXPECT_EQ(*ReadFile(at + "/deep/link"), std::string(kLarge, 'l'));
    EXPECT_EQ(::access((at + "/deep/run.sh").c_str(), X_OK), 0);
    EXPECT_TRUE(IsDirectory(at + "/deep/er"));
    EXPECT_EQ(Stat(at + "/deep/large").st_ino == Stat(blob).st_ino, mode != MaterializeMode::kCopy);
  }
  // The same content from elsewhere is the same tree.
  EXPECT_EQ(cas_->PutTree(Path("copy"), 1)->digest, published.digest);
}

TEST_F(CasTest, LinksToTheStorageAreRecognisedWithoutReading) {
  const Digest digest = *cas_->Put(std::string(kLarge, 'x'));
  Tree input;
  input.files = {{"shard", digest, kLarge, false}};
  ASSERT_TRUE(cas_->Materialize(input, Path("in"), MaterializeMode::kHardLink).ok());
  ASSERT_EQ(::link(Path("in/shard").c_str(), Path("out/hard").c_str()), 0);
  ASSERT_EQ(::symlink("../in/shard", Path("out/symbolic").c_str()), 0);
  // Were it read, its digest would be another one.
  const std::string blob = BlobPath(digest);
  ASSERT_EQ(::chmod(blob.c_str(), 0644), 0);
  ASSERT_TRUE(WriteFile(blob, std::string(kLarge, 'y')).ok());
  int asked = 0;
  const PublishedTree published = *cas_->PutTree(Path("out"), 2, [&] {
    ++asked;
    KnownInodes known;
    cas_->AddKnownInodes(input, known);
    return known;
  });
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(published.tree.files[0].digest, digest);
  EXPECT_EQ(published.tree.files[1].digest, digest);
}

TEST_F(CasTest, AUsersFileBehindALinkIsLeftAlone) {
  Write("users", std::string(kLarge, 'u'));
  ASSERT_EQ(::link(Path("users").c_str(), Path("out/hard").c_str()), 0);
  ASSERT_EQ(::symlink(Path("users").c_str(), Path("out/symbolic").c_str()), 0);
  const PublishedTree published = *cas_->PutTree(Path("out"), 2);
  EXPECT_EQ(Stat(Path("users")).st_mode & 0777, 0644);
  EXPECT_NE(Stat(Path("users")).st_ino, Stat(BlobPath(published.tree.files[0].digest)).st_ino);
}

TEST_F(CasTest, RefusesWhatIsNoFile) {
  ASSERT_EQ(::symlink("nowhere", Path("out/x").c_str()), 0);
  EXPECT_EQ(cas_->PutTree(Path("out"), 1).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(::unlink(Path("out/x").c_str()), 0);
  ASSERT_EQ(::symlink("deep", Path("out/x").c_str()), 0);
  EXPECT_EQ(cas_->PutTree(Path("out"), 1).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(::unlink(Path("out/x").c_str()), 0);
  ASSERT_EQ(::mkfifo(Path("out/x").c_str(), 0666), 0);
  EXPECT_EQ(cas_->PutTree(Path("out"), 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CasTest, SweepKeepsWhatIsLive) {
  const Digest small = *cas_->Put("small"), small_dead = *cas_->Put("dead");
  const Digest large = *cas_->Put(std::string(kLarge, 'a')), large_dead = *cas_->Put(std::string(kLarge, 'b'));
  Write("cas/tmp/left", std::string(50, 'x'));
  auto other = *Cas::Open(Path("cas"));
  EXPECT_GE(*cas_->Sweep({small, large}, /*dry_run=*/true), static_cast<int64_t>(kLarge) + 50);
  EXPECT_TRUE(cas_->Has(large_dead));
  EXPECT_GE(*cas_->Sweep({small, large}, /*dry_run=*/false), static_cast<int64_t>(kLarge) + 50);
  EXPECT_FALSE(FileExists(Path("cas/tmp/left")));
  for (Cas* cas : {cas_.get(), other.get()}) {
    EXPECT_EQ(*cas->Get(small), "small");
    EXPECT_TRUE(cas->Has(large));
    EXPECT_FALSE(cas->Has(large_dead));
  }
  EXPECT_FALSE(cas_->Has(small_dead));
  EXPECT_EQ(*other->Put("dead"), small_dead);
  EXPECT_EQ(*cas_->Get(small_dead), "dead");
}

// Random operations against a map of what should be there.
TEST_F(CasTest, AgreesWithAModel) {
  std::mt19937 random(20240607);
  std::map<Digest, std::string> model;
  for (int i = 0; i < 300; ++i) {
    const std::string content(random() % 3 == 0 ? 4090 + random() % 12 : random() % 200, 'a' + random() % 4);
    switch (random() % 6) {
      case 0: {
        absl::flat_hash_set<Digest> live;
        std::map<Digest, std::string> kept;
        for (const auto& [digest, bytes] : model) {
          if (random() % 3 == 0) continue;
          live.insert(digest);
          kept[digest] = bytes;
        }
        ASSERT_TRUE(cas_->Sweep(live, false).ok());
        model = kept;
        break;
      }
      case 1:
        cas_ = *Cas::Open(Path("cas"));
        break;
      default:
        model[*cas_->Put(content)] = content;
    }
    const Digest probe = Digest::Of(content);
    ASSERT_EQ(cas_->Has(probe), model.contains(probe)) << i;
    if (model.contains(probe)) {
      ASSERT_EQ(*cas_->Get(probe), content);
    }
  }
}

TEST_F(CasTest, AFullDiskLeavesNothingTorn) {
  const std::string mounted = Path("mounted");
  ASSERT_TRUE(CreateDirectories(mounted).ok());
  if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "a file system of 256 KiB cannot be mounted here: that takes root";
  {
    auto cas = *Cas::Open(JoinPath(mounted, "cas"));
    std::vector<std::pair<Digest, std::string>> good;
    bool full = false;
    for (int i = 0; i < 400; ++i) {
      const std::string content = std::string(i % 5 == 0 ? 20000 : 900, 'x') + std::to_string(i);
      const absl::StatusOr<Digest> digest = cas->Put(content);
      if (digest.ok()) good.emplace_back(*digest, content);
      full |= absl::IsResourceExhausted(digest.status());
      if (!digest.ok()) {
        EXPECT_TRUE(absl::IsResourceExhausted(digest.status())) << digest.status();
        EXPECT_FALSE(cas->Has(Digest::Of(content)));
      }
    }
    EXPECT_TRUE(full);
    auto again = *Cas::Open(JoinPath(mounted, "cas"));
    for (const auto& [digest, content] : good) EXPECT_EQ(*again->Get(digest), content);
  }
  EXPECT_EQ(::umount(mounted.c_str()), 0);
}

}  // namespace
}  // namespace millrace
