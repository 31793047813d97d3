// What is known of actions: entries by key, and the segments of train chains. Bytes are in Cas.
//
// All of it is one log (<cas>/entries.log), so that ten thousand look-ups cost milliseconds. An entry is appended after
// the blobs it names: with kill -9 at any moment an entry is whole or absent, and so are its blobs.
//
// After a loss of power that order may not hold. So the log says of each tree in which boot its bytes were last written
// (also those that were there before, or gone); after another boot the tree counts once it has been read and checked,
// unless a record behind says that everything up to there had been synced. So a publish costs no fsync.
#ifndef MILLRACE_EXECUTOR_CAS_ACTION_CACHE_H_
#define MILLRACE_EXECUTOR_CAS_ACTION_CACHE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
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
  // `boot_id`: of this machine's present boot (BootId()).  `stop`: once it is above 0, no more bytes are checked, and
  // trees that would have to be do not count.
  static absl::StatusOr<std::unique_ptr<ActionCache>> Open(Cas& cas, const std::string& boot_id,
                                                           const std::atomic<int>* stop = nullptr);

  struct LookupOptions {
    bool check_bytes = true;  // false: kComplete means kKnown or better
    bool with_key = true;     // false: the entry comes without its `key`, the larger part of a small entry
  };
  absl::StatusOr<FoundEntry> Lookup(const Digest& key, const LookupOptions& options);
  absl::StatusOr<FoundEntry> Lookup(const Digest& key) { return Lookup(key, LookupOptions()); }

  // Called after the outputs' bytes were written. The first writer wins: an entry with the same outputs is kept as it
  // is, unless it cannot be read. FailedPrecondition: there is one with other outputs; the message names `stage`.
  absl::Status Put(const Digest& key, const ActionEntry& entry, absl::string_view stage);

  // All segments of a chain, in the order recorded.
  absl::StatusOr<std::vector<SegmentEntry>> Segments(const Digest& chain_key);
  // As Put, for segments with the same parent, first and last whose steps use the same.
  absl::Status PutSegment(const Digest& chain_key, const SegmentEntry& segment, absl::string_view stage);

  // Whether the tree's bytes are there; those that another boot left unsynced are checked first.
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
    double rebuild_seconds = 0;  // what it took to make
    SegmentEntry segment;        // without curves
  };
  absl::StatusOr<std::vector<Item>> ListItems();

 private:
  ActionCache(Cas& cas, const std::string& boot_id, const std::atomic<int>* stop);

  struct Written {
    int64_t offset = 0;  // of the record that says so
    uint64_t boot = 0;
  };
  void Visit(const RecordLog::Record& record);  // under mutex_
  void VisitTree(uint32_t type, const Digest& tree, const Written& written);
  void Forget();
  absl::Status Refresh();
  std::string WithBoot(const Digest& tree) const;
  void AddWritten(const OutputTree& output, RecordLog::Batch& batch) const;
  absl::Status Append(const std::function<RecordLog::Batch()>& make);
  absl::Status ParseEntry(int64_t offset, bool with_key, ActionEntry& entry);
  absl::Status Parse(int64_t offset, google::protobuf::MessageLite& message);

  Cas& cas_;
  const uint64_t boot_;
  const std::atomic<int>* const stop_;
  std::unique_ptr<RecordLog> log_;
  std::shared_mutex mutex_;
  absl::flat_hash_map<Digest, int64_t> entries_;                // offsets
  absl::flat_hash_map<Digest, std::vector<int64_t>> segments_;  // offsets
  absl::flat_hash_map<Digest, Written> doubted_;  // trees last written in another boot, and not read since
  int64_t synced_until_ = 0;
  std::atomic<bool> needs_sync_ = false;
};

// /proc/sys/kernel/random/boot_id, or "" where there is none.
std::string BootId();

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_ACTION_CACHE_H_
