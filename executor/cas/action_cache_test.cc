#include "executor/cas/action_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"

namespace millrace {
namespace {

class ActionCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("action_cache");
    Reopen("boot-1");
  }
  void TearDown() override {
    cache_.reset();
    cas_.reset();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  void Reopen(const std::string& boot_id) {
    cas_ = *Cas::Open(folder_ + "/cas");
    cache_ = *ActionCache::Open(*cas_, boot_id);
  }
  OutputTree Output(const std::string& content) {
    EXPECT_TRUE(CreateDirectories(folder_ + "/out").ok());
    EXPECT_TRUE(WriteFile(folder_ + "/out/x", content).ok());
    OutputTree output;
    output.set_name("out");
    output.set_digest(cas_->PutTree(folder_ + "/out", 1)->digest.ToString());
    return output;
  }
  ActionEntry Entry(const std::string& content) {
    ActionEntry entry;
    *entry.add_output() = Output(content);
    return entry;
  }
  EntryState StateOf(const Digest& key) { return cache_->Lookup(key)->state; }
  // Spoils the bytes of an output with this content, as a loss of power may.
  void Spoil(const std::string& content) {
    const std::string hex = Digest::Of(content).Hex();
    const std::string path = folder_ + "/cas/blobs/" + hex.substr(0, 2) + "/" + hex;
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    ASSERT_TRUE(WriteFile(path, std::string(content.size(), '?')).ok());
  }
  std::string folder_;
  std::unique_ptr<Cas> cas_;
  std::unique_ptr<ActionCache> cache_;
  const Digest key_ = Digest::Of("key");
  const std::string large_ = std::string(10000, 'x');
};

TEST_F(ActionCacheTest, EntriesAreAbsentCompleteOrKnown) {
  EXPECT_EQ(StateOf(key_), EntryState::kAbsent);
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
  Reopen("boot-1");
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
  ASSERT_TRUE(cas_->Sweep({}, false).ok());
  EXPECT_EQ(StateOf(key_), EntryState::kKnown);
  EXPECT_EQ(cache_->Lookup(key_)->entry.output(0).name(), "out");
  // Made again: complete again.
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
}

TEST_F(ActionCacheTest, TheFirstWriterWins) {
  auto other = *ActionCache::Open(*cas_, "boot-1");
  ActionEntry entry = Entry("a");
  entry.set_run_id("first");
  ASSERT_TRUE(other->Put(key_, entry, "s").ok());
  entry.set_run_id("second");
  ASSERT_TRUE(cache_->Put(key_, entry, "s").ok());
  EXPECT_EQ(cache_->Lookup(key_)->entry.run_id(), "first");
  const absl::Status status = cache_->Put(key_, Entry("b"), "tokens");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("stage \"tokens\" made another \"out\""), std::string::npos) << status;
  EXPECT_EQ(cache_->Lookup(key_)->entry.run_id(), "first");
}

TEST_F(ActionCacheTest, AfterAnotherBootUnsyncedEntriesAreReadFirst) {
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  Reopen("boot-2");
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
  Spoil(large_);  // it was checked in this boot, and is not again
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);

  const Digest second = Digest::Of("second");
  ASSERT_TRUE(cache_->Put(second, Entry(large_ + "2"), "s").ok());
  Spoil(large_ + "2");
  Reopen("boot-3");
  EXPECT_EQ(StateOf(second), EntryState::kKnown);

  const Digest third = Digest::Of("third");
  ASSERT_TRUE(cache_->Put(third, Entry(large_ + "3"), "s").ok());
  EXPECT_TRUE(cache_->needs_sync());
  ASSERT_TRUE(cache_->Sync().ok());
  EXPECT_FALSE(cache_->needs_sync());
  Spoil(large_ + "3");
  Reopen("boot-4");
  EXPECT_EQ(StateOf(third), EntryState::kComplete);
}

TEST_F(ActionCacheTest, BytesMadeAgainAreDoubtedAfterAnotherBoot) {
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  ASSERT_TRUE(cache_->Sync().ok());
  ASSERT_TRUE(cas_->Sweep({}, false).ok());
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  EXPECT_TRUE(cache_->needs_sync());
  Spoil(large_);
  Reopen("boot-1");
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);  // this boot's own are not read
  Reopen("boot-2");
  EXPECT_EQ(StateOf(key_), EntryState::kKnown);

  // Made again in a boot that has checked the earlier ones; and by another action.
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  Reopen("boot-3");
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
  ASSERT_TRUE(cache_->Put(Digest::Of("other"), Entry(large_), "s").ok());
  Spoil(large_);
  Reopen("boot-4");
  EXPECT_EQ(StateOf(key_), EntryState::kKnown);

  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  ASSERT_TRUE(cache_->Sync().ok());
  Spoil(large_);
  Reopen("boot-5");
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);  // synced: not read
}

TEST_F(ActionCacheTest, SegmentsBytesAreDoubtedAfterAnotherBoot) {
  const std::string completed = large_ + "completed";
  for (int made = 0; made < 2; ++made) {
    SegmentEntry segment;
    segment.set_first(10);
    segment.set_last(10);
    *segment.mutable_state() = Output(large_);
    *segment.mutable_completed()->add_output() = Output(completed);
    const auto there = [&](const OutputTree& output) { return cache_->HasTree(*Digest::Parse(output.digest())); };
    ASSERT_TRUE(cache_->PutSegment(key_, segment, "pretrain").ok());
    EXPECT_EQ(cache_->Segments(key_)->size(), 1);
    Spoil(large_);
    Spoil(completed);
    EXPECT_TRUE(there(segment.state()));
    Reopen(made == 0 ? "boot-2" : "boot-3");
    EXPECT_FALSE(there(segment.state()));
    EXPECT_FALSE(there(segment.completed().output(0)));
    ASSERT_TRUE(cache_->Sync().ok());
  }
}

TEST_F(ActionCacheTest, AnEntryThatCannotBeReadIsReplaced) {
  // Of a program to come, say, that forgot to choose another type: five is an action's.
  RecordLog::Batch batch;
  batch.Add(5, std::string(reinterpret_cast<const char*>(key_.bytes.data()), 32) + std::string(8, '\0') + "??");
  ASSERT_TRUE((*RecordLog::Open(folder_ + "/cas/entries.log"))->Append(batch).ok());
  EXPECT_EQ(StateOf(key_), EntryState::kAbsent);
  ASSERT_TRUE(cache_->Put(key_, Entry(large_), "s").ok());
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
  Reopen("boot-1");
  EXPECT_EQ(StateOf(key_), EntryState::kComplete);
}

TEST_F(ActionCacheTest, SegmentsOfAChain) {
  SegmentEntry segment;
  segment.set_first(0);
  segment.set_last(10);
  *segment.mutable_state() = Output("state 10");
  ASSERT_TRUE(cache_->PutSegment(key_, segment, "pretrain").ok());
  ASSERT_TRUE(cache_->PutSegment(key_, segment, "pretrain").ok());
  EXPECT_EQ(cache_->Segments(key_)->size(), 1);
  EXPECT_TRUE(cache_->Segments(Digest::Of("other"))->empty());
  *segment.mutable_state() = Output("another state 10");
  EXPECT_EQ(cache_->PutSegment(key_, segment, "pretrain").code(), absl::StatusCode::kFailedPrecondition);
  Reopen("boot-1");
  EXPECT_EQ((*cache_->Segments(key_))[0].last(), 10);
}

}  // namespace
}  // namespace millrace
