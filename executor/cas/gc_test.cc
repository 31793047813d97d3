#include "executor/cas/gc.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/time/clock.h"
#include "base/file.h"

namespace millrace {
namespace {

constexpr int64_t kOutputBytes = 100'000;

class GcTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("gc");
    cas_ = *Cas::Open(folder_ + "/cas");
    cache_ = *ActionCache::Open(*cas_, "boot");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  OutputTree Output(const std::string& name) {
    EXPECT_TRUE(CreateDirectories(folder_ + "/out").ok());
    EXPECT_TRUE(WriteFile(folder_ + "/out/x", name + std::string(kOutputBytes - name.size(), 'x')).ok());
    OutputTree output;
    output.set_name("out");
    output.set_digest(cas_->PutTree(folder_ + "/out", 1)->digest.ToString());
    return output;
  }
  Digest Put(const std::string& name) {
    ActionEntry entry;
    *entry.add_output() = Output(name);
    const Digest key = Digest::Of(name);
    EXPECT_TRUE(cache_->Put(key, entry, name).ok());
    return key;
  }
  absl::StatusOr<GcReport> Collect(const GcOptions& options) {
    EXPECT_TRUE(cas_->LockExclusively().ok());
    auto report = CollectGarbage(*cas_, *cache_, options);
    cas_->UnlockExclusively();
    return report;
  }
  bool IsComplete(const Digest& key) { return cache_->Lookup(key)->state == EntryState::kComplete; }
  std::string folder_;
  std::unique_ptr<Cas> cas_;
  std::unique_ptr<ActionCache> cache_;
};

TEST_F(GcTest, TheOldestGoUntilTheBoundHolds) {
  const Digest a = Put("a"), b = Put("b"), c = Put("c"), d = Put("d");
  GcOptions options;
  options.max_bytes = 2 * kOutputBytes + 1000;
  options.now_unix_micros = INT64_MAX;
  options.last_used_unix_micros[a] = INT64_MAX;
  options.pinned.insert(b);
  options.dry_run = true;
  EXPECT_EQ(Collect(options)->entries_kept, 2);
  EXPECT_TRUE(IsComplete(d));
  options.dry_run = false;
  const GcReport report = *Collect(options);
  EXPECT_EQ(report.entries_kept, 2);
  EXPECT_EQ(report.entries_without_bytes, 2);
  EXPECT_GE(report.bytes_freed, 2 * kOutputBytes);
  EXPECT_TRUE(IsComplete(a));
  EXPECT_TRUE(IsComplete(b));
  EXPECT_EQ(cache_->Lookup(c)->state, EntryState::kKnown);
  EXPECT_EQ(cache_->Lookup(d)->state, EntryState::kKnown);
}

TEST_F(GcTest, WhatIsCheapToMakeAgainGoesFirst) {
  ActionEntry entry;
  *entry.add_output() = Output("dear");
  entry.set_duration_seconds(3600);
  const Digest dear = Digest::Of("dear");
  ASSERT_TRUE(cache_->Put(dear, entry, "dear").ok());
  const Digest cheap = Put("cheap");  // a little younger
  GcOptions options;
  options.max_bytes = kOutputBytes + 1000;
  options.now_unix_micros = absl::ToUnixMicros(absl::Now()) + 60'000'000;
  ASSERT_TRUE(Collect(options).ok());
  EXPECT_TRUE(IsComplete(dear));
  EXPECT_FALSE(IsComplete(cheap));
}

TEST_F(GcTest, WhatARunMadeSinceItStartedStays) {
  const Digest a = Put("a");
  GcOptions options;
  options.max_bytes = 0;
  options.pinned_since_unix_micros = 0;
  ASSERT_TRUE(Collect(options).ok());
  EXPECT_TRUE(IsComplete(a));
}

TEST_F(GcTest, UnnamedBlobsAndSupersededStatesGoInAnyCase) {
  const Digest orphan = *cas_->Put(std::string(kOutputBytes, 'o'));
  const Digest chain = Digest::Of("chain");
  struct Row {
    std::string parent, state;
    int64_t first, last;
    bool stays;
  };
  const Row rows[] = {
      {"", "10", 0, 10, false},
      {"10", "20", 10, 20, true},  // a multiple of 20
      {"20", "30", 20, 30, false},
      {"30", "40", 30, 40, true},
      {"40", "50", 40, 50, true},
      // Another run, with other learning rates: shorter, and its last two count all the same.
      {"10", "20b", 10, 19, false},
      {"20b", "25b", 19, 25, true},
      {"25b", "29b", 25, 29, true},
  };
  std::map<std::string, std::string> digest_of = {{"", ""}};
  for (const Row& row : rows) {
    SegmentEntry segment;
    segment.set_parent(digest_of.at(row.parent));
    segment.set_first(row.first);
    segment.set_last(row.last);
    segment.set_keep_last(2);
    segment.set_keep_every_steps(20);
    *segment.mutable_state() = Output(row.state);
    digest_of[row.state] = segment.state().digest();
    ASSERT_TRUE(cache_->PutSegment(chain, segment, "pretrain").ok());
  }
  GcOptions options;
  options.max_bytes = int64_t{1} << 40;
  ASSERT_TRUE(Collect(options).ok());
  EXPECT_FALSE(cas_->Has(orphan));
  for (const Row& row : rows) EXPECT_EQ(cas_->HasTree(*Digest::Parse(digest_of.at(row.state))), row.stays) << row.state;
}

}  // namespace
}  // namespace millrace
