#include "executor/cas/remote/remote_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "executor/cas/remote/http_cache.h"
#include "executor/cas/remote/lying_cache.h"
#include "executor/cas/remote/uploader.h"

namespace millrace {
namespace {

// A home with its caches.
struct Home {
  Home(const std::string& folder, const std::vector<std::string>& urls) {
    cas = *Cas::Open(folder);
    cache = *ActionCache::Open(*cas, "boot");
    std::vector<std::unique_ptr<RemoteCache>> caches;
    for (const std::string& url : urls) {
      HttpCacheConfig config;
      config.url = url;
      config.client = {.connect_timeout = absl::Seconds(1), .stall_timeout = absl::Seconds(2)};
      caches.push_back(*MakeHttpCache(config));
    }
    remotes = std::make_unique<RemoteStore>(std::move(caches), *cas);
    uploads = *Uploader::Open(*remotes, *cache, folder + "/uploads");
  }
  std::string Notes() { return absl::StrJoin(remotes->notes().Take(), "\n"); }
  std::unique_ptr<Cas> cas;
  std::unique_ptr<ActionCache> cache;
  std::unique_ptr<RemoteStore> remotes;
  std::unique_ptr<Uploader> uploads;
};

constexpr size_t kLargeBytes = 200'000;

class RemoteStoreTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("remote_store"); }
  void TearDown() override {
    server_.Stop();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  std::unique_ptr<Home> NewHome(const std::vector<std::string>& modes) {
    std::vector<std::string> urls;
    for (const std::string& mode : modes) urls.push_back(server_.Url(mode));
    return std::make_unique<Home>(absl::StrCat(folder_, "/home", num_homes_++), urls);
  }
  OutputTree Output(Home& home, const std::string& content) {
    const std::string out = folder_ + "/out";
    EXPECT_TRUE(CreateDirectories(out + "/sub").ok());
    EXPECT_TRUE(WriteFile(out + "/small", content).ok());
    EXPECT_TRUE(WriteFile(out + "/sub/large", content + std::string(kLargeBytes, 'x')).ok());
    OutputTree output;
    output.set_name("out");
    output.set_digest(home.cas->PutTree(out, 1)->digest.ToString());
    return output;
  }
  // An entry, made in `home` and sent.
  Digest Make(Home& home, const std::string& content) {
    ActionEntry entry;
    *entry.add_output() = Output(home, content);
    entry.set_kind(content);
    const Digest key = Digest::Of("key of " + content);
    EXPECT_TRUE(home.cache->Put(key, entry, "stage").ok());
    home.uploads->AddEntry(key);
    EXPECT_TRUE(home.uploads->Wait(absl::Seconds(30)));
    return key;
  }
  absl::optional<RemoteHit> Find(Home& home, const Digest& key) {
    return home.remotes->FindEntry(key, [](const ActionEntry&) { return true; });
  }
  static std::vector<Digest> Trees(const ActionEntry& entry) { return {*Digest::Parse(entry.output(0).digest())}; }

  std::string folder_;
  int num_homes_ = 0;
  LyingCache server_{*MakeTempDirectory("lying_cache")};
};

TEST_F(RemoteStoreTest, WhatOneMadeTheOtherGets) {
  const auto a = NewHome({"ok"}), b = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  EXPECT_FALSE(Find(*b, Digest::Of("another key")).has_value());
  const absl::optional<RemoteHit> hit = Find(*b, key);
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->entry.kind(), "hello");
  EXPECT_EQ(hit->place.cache, server_.Url("ok"));
  EXPECT_EQ(hit->place.bytes, 2 * 5 + kLargeBytes);
  EXPECT_FALSE(b->cas->HasTree(Trees(hit->entry)[0]));
  const FetchedBytes fetched = *b->remotes->FetchTrees(Trees(hit->entry), {});
  EXPECT_EQ(fetched.bytes, hit->place.bytes);
  EXPECT_TRUE(b->cas->VerifyTree(Trees(hit->entry)[0], 1).ok());
  EXPECT_EQ(b->remotes->FetchTrees(Trees(hit->entry), {})->bytes, 0);
  EXPECT_EQ(a->Notes() + b->Notes(), "");
  // An entry that is not that of the key is a miss.
  EXPECT_FALSE(b->remotes->FindEntry(key, [](const ActionEntry&) { return false; }).has_value());
}

TEST_F(RemoteStoreTest, BlobsGoBeforeTheEntryAndOnce) {
  const auto a = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  const std::string log = server_.Log();
  EXPECT_LT(log.rfind("PUT /ok/cas/"), log.find("PUT /ok/ac/"));
  a->uploads->AddEntry(key);
  EXPECT_TRUE(a->uploads->Wait(absl::Seconds(30)));
  EXPECT_EQ(server_.Log(), log);
}

TEST_F(RemoteStoreTest, NeverAHollowHit) {
  const auto a = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  const Tree tree = *a->cas->GetTree(Trees(a->cache->Lookup(key)->entry)[0]);
  for (const TreeFile& file : tree.files) {
    const std::string path = server_.BlobPath(file.digest.Hex());
    const std::string bytes = *ReadFile(path);
    ASSERT_EQ(::unlink(path.c_str()), 0);
    EXPECT_FALSE(Find(*NewHome({"ok"}), key).has_value()) << file.path;
    // A part of it is no better.
    ASSERT_TRUE(WriteFile(path, bytes.substr(1)).ok());
    EXPECT_FALSE(Find(*NewHome({"ok"}), key).has_value()) << file.path;
    ASSERT_TRUE(WriteFile(path, bytes).ok());
    EXPECT_TRUE(Find(*NewHome({"ok"}), key).has_value());
  }
}

TEST_F(RemoteStoreTest, AWrongBlobIsNamedOnceNotUsedAndSentAgain) {
  const auto a = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  const Tree tree = *a->cas->GetTree(Trees(a->cache->Lookup(key)->entry)[0]);
  const std::string large = server_.BlobPath(tree.files[1].digest.Hex());
  std::string bytes = *ReadFile(large);
  bytes[1000] ^= 1;
  ASSERT_TRUE(WriteFile(large, bytes).ok());

  const auto b = NewHome({"ok"});
  const ActionEntry entry = Find(*b, key)->entry;
  EXPECT_TRUE(absl::IsNotFound(b->remotes->FetchTrees(Trees(entry), {}).status()));
  const std::string notes = b->Notes();
  EXPECT_TRUE(absl::StrContains(notes, tree.files[1].digest.Hex())) << notes;
  EXPECT_FALSE(Find(*b, key).has_value());
  EXPECT_FALSE(b->remotes->FetchTrees(Trees(entry), {}).ok());
  EXPECT_EQ(b->Notes(), "");
  Make(*b, "hello");  // made again
  bytes[1000] ^= 1;
  EXPECT_TRUE(*ReadFile(large) == bytes);
}

TEST_F(RemoteStoreTest, AFailingCacheIsLeftOutWithOneNote) {
  const auto a = NewHome({"ok"});
  std::vector<Digest> keys;
  for (const char* content : {"1", "2", "3"}) keys.push_back(Make(*a, content));
  for (const char* mode : {"503", "closed", "hang", "401"}) {
    const auto home = NewHome({mode, "ok"});
    const absl::Time started = absl::Now();
    for (const Digest& key : keys) EXPECT_TRUE(Find(*home, key).has_value()) << mode;
    EXPECT_LT(absl::Now() - started, absl::Seconds(8));
    const std::string notes = home->Notes();
    EXPECT_EQ(std::count(notes.begin(), notes.end(), '\n'), 0) << notes;
    EXPECT_TRUE(absl::StrContains(notes, "goes on without it")) << notes;
  }
  const auto garbage = NewHome({"garbage", "ok"});
  EXPECT_TRUE(Find(*garbage, keys[0]).has_value());
  EXPECT_TRUE(absl::StrContains(garbage->Notes(), "not an ActionResult"));
}

TEST_F(RemoteStoreTest, ACacheThatTakesNothingIsStillRead) {
  const auto a = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  for (const char* mode : {"507", "403"}) {
    const auto home = NewHome({mode});
    Make(*home, absl::StrCat("another ", mode));
    Make(*home, absl::StrCat("one more ", mode));
    const std::string notes = home->Notes();
    EXPECT_TRUE(absl::StrContains(notes, "cannot be put there")) << notes;
    EXPECT_EQ(std::count(notes.begin(), notes.end(), '\n'), 0) << notes;
    EXPECT_TRUE(Find(*home, key).has_value());
  }
}

TEST_F(RemoteStoreTest, ASlowFetchIsGivenUp) {
  const auto a = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  const auto b = NewHome({"slow"});
  const ActionEntry entry = Find(*b, key)->entry;
  const absl::Time started = absl::Now();
  EXPECT_FALSE(b->remotes->FetchTrees(Trees(entry), {.at_most = absl::Seconds(1)}).ok());
  EXPECT_LT(absl::Now() - started, absl::Seconds(5));
  EXPECT_TRUE(absl::StrContains(b->Notes(), "making it again takes less"));
}

TEST_F(RemoteStoreTest, AnotherResultIsNotPutOverTheirs) {
  const auto a = NewHome({"ok"}), b = NewHome({"ok"});
  const Digest key = Make(*a, "hello");
  ActionEntry other;
  *other.add_output() = Output(*b, "other");
  other.set_kind("dedup");
  ASSERT_TRUE(b->cache->Put(key, other, "stage").ok());
  b->uploads->AddEntry(key);
  EXPECT_TRUE(b->uploads->Wait(absl::Seconds(30)));
  EXPECT_TRUE(absl::StrContains(b->Notes(), "has another result of a `dedup` stage"));
  EXPECT_EQ(Find(*NewHome({"ok"}), key)->entry.kind(), "hello");
}

TEST_F(RemoteStoreTest, ChainsAreMerged) {
  const Digest chain = Digest::Of("chain");
  const auto add = [&](Home& home, int first, int last) {
    SegmentEntry segment;
    segment.set_first(first);
    segment.set_last(last);
    segment.set_steps_digest(absl::StrCat(first, " ", last));
    *segment.mutable_state() = Output(home, absl::StrCat("state ", last));
    ASSERT_TRUE(home.cache->PutSegment(chain, segment, "pretrain").ok());
    home.uploads->AddChain(chain);
    EXPECT_TRUE(home.uploads->Wait(absl::Seconds(30)));
  };
  const auto a = NewHome({"ok"}), b = NewHome({"ok"}), c = NewHome({"ok"});
  add(*a, 0, 10);
  add(*b, 0, 20);
  add(*a, 10, 30);
  const std::vector<SegmentEntry> segments = c->remotes->FindSegments(chain);
  ASSERT_EQ(segments.size(), 3);
  for (const SegmentEntry& segment : segments)
    EXPECT_TRUE(c->remotes->FindTrees({*Digest::Parse(segment.state().digest())}).has_value());
  EXPECT_TRUE(c->remotes->FetchTrees({*Digest::Parse(segments[2].state().digest())}, {}).ok());
  EXPECT_TRUE(c->remotes->FindSegments(Digest::Of("another")).empty());
}

}  // namespace
}  // namespace millrace
