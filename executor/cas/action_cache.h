// What is known of actions: entries by key, and the segments of train chains. Bytes are in Cas.
//
// All of it is one log (<cas>/entries.log), so that ten thousand look-ups cost milliseconds. An entry is appended after
// the blobs it names: with kill -9 at any moment an entry is whole or absent, and so are its blobs.
//
// After a loss of power that order may not hold. Each record says in which boot it was written; after another boot it
// counts once its trees have been read and checked, unless a record behind it says that everything up to there had been
// synced. So a publish costs no fsync.
#ifndef MILLRACE_EXECUTOR_CAS_ACTION_CACHE_H_
#define MILLRACE_EXECUTOR_CAS_ACTION_CACHE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "executor/cas/cas.h"
#include "executor/cas/digest.h"
#include "executor/cas/entry.pb.h"
#include "executor/cas/record_log.h"

namespace millrace {

enum class EntryState {
  kAbsent,
  kKnown,     // digests are known, some of the bytes are gone: good for the keys of what follows
  kComplete,  // all is there
};

struct FoundEntry {
  EntryState state = EntryState::kAbsent;
  ActionEntry entry;
};

// Thread-safe; several processes may use one cache.
class ActionCache {
 public:
  // `boot_id`: of this machine's present boot (BootId()).
  static absl::StatusOr<std::unique_ptr<ActionCache>> Open(Cas& cas, const std::string& boot_id);

  struct LookupOptions {
    bool check_bytes = true;  // false: kComplete means kKnown or better
    bool with_key = true;     // false: the entry comes without its `key`, the larger part of a small entry
  };
  absl::StatusOr<FoundEntry> Lookup(const Digest& key, const LookupOptions& options);
  absl::StatusOr<FoundEntry> Lookup(const Digest& key) { return Lookup(key, LookupOptions()); }

  // The first writer wins: an entry with the same outputs is kept as it is. FailedPrecondition: there is one with other
  // outputs; the message names `stage`.
  absl::Status Put(const Digest& key, const ActionEntry& entry, absl::string_view stage);

  // All segments of a chain, in the order recorded.
  absl::StatusOr<std::vector<SegmentEntry>> Segments(const Digest& chain_key);
  // As Put, for segments with the same parent, first and last whose steps use the same.
  absl::Status PutSegment(const Digest& chain_key, const SegmentEntry& segment, absl::string_view stage);

  // Whether the tree's bytes are there; after another boot, checks them first.
  bool HasTree(const Digest& tree);

  // Writes everything of the file system to disk and notes that it is there. May take seconds.
  absl::Status Sync();
  // Whether something was put by this process since the last Sync.
  bool needs_sync() const { return needs_sync_; }

  // For gc.h.
  struct Item {
    bool is_segment = false;
    Digest key;  // of the action, or of the chain
    int64_t created_unix_micros = 0;
    std::vector<Digest> trees;
    SegmentEntry segment;  // without curves
  };
  absl::StatusOr<std::vector<Item>> ListItems();

 private:
  ActionCache(Cas& cas, const std::string& boot_id);

  struct Indexed {
    int64_t offset = 0;
    uint64_t boot = 0;
  };
  void Visit(const RecordLog::Record& record);  // under mutex_
  void Forget();
  absl::Status Refresh();
  std::string Framed(const Digest& key, absl::string_view payload) const;
  absl::Status ParseEntry(int64_t offset, bool with_key, ActionEntry& entry);
  absl::Status Parse(int64_t offset, google::protobuf::MessageLite& message);

  Cas& cas_;
  const uint64_t boot_;
  std::unique_ptr<RecordLog> log_;
  std::shared_mutex mutex_;
  absl::flat_hash_map<Digest, Indexed> entries_;
  absl::flat_hash_map<Digest, std::vector<Indexed>> segments_;
  absl::flat_hash_set<Digest> verified_;    // trees
  absl::flat_hash_set<Digest> unverified_;  // trees of another boot: to be read before they count
  int64_t synced_until_ = 0;
  bool needs_sync_ = false;
};

// /proc/sys/kernel/random/boot_id, or "" where there is none.
std::string BootId();

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_ACTION_CACHE_H_
