// Garbage collection: keeps the storage under a size bound by letting the bytes of results go. Their entries stay
// (KNOWN), so that keys of what follows are still computed and only what is needed is made again.
//
// The oldest go first, and the cheapest to make again: a result's price is the time since it was last used, times its
// bytes, by the seconds that it took to make. The highest price goes first. (A form of Greedy-Dual-Size: Cao and Irani,
// "Cost-Aware WWW Proxy Caching Algorithms", USENIX Symposium on Internet Technologies and Systems, 1997.)
#ifndef MILLRACE_EXECUTOR_CAS_GC_H_
#define MILLRACE_EXECUTOR_CAS_GC_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "executor/cas/action_cache.h"
#include "executor/cas/cas.h"
#include "executor/cas/digest.h"

namespace millrace {

struct GcOptions {
  int64_t max_bytes = 0;  // of blobs that stay
  bool dry_run = false;
  int64_t now_unix_micros = 0;
  absl::flat_hash_map<Digest, int64_t> last_used_unix_micros;  // by action key; absent: when it was made
  absl::flat_hash_set<Digest> pinned;                          // action keys that a run relies on
  int64_t pinned_since_unix_micros = INT64_MAX;                // what was made from then on stays too
};

struct GcReport {
  int64_t bytes_before = 0;
  int64_t bytes_freed = 0;
  int64_t entries_kept = 0;
  int64_t entries_without_bytes = 0;
  absl::flat_hash_set<Digest> kept_trees;
};

// Blobs that no entry names go in any case, and so do states of train chains that are neither at a multiple of
// `keep_every_steps` nor among the last `keep_last` of a run: of a way through the chain to a state nothing goes on
// from. Under Cas::LockExclusively().
absl::StatusOr<GcReport> CollectGarbage(Cas& cas, ActionCache& cache, const GcOptions& options);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_GC_H_
