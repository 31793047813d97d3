// The shared caches of a run, in the order of the cluster file: what they have of actions, and getting it here.
//
// Nothing that is wrong with a cache is an error here: it has nothing, and Notes say why (remote_tier.h).
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_STORE_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_STORE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "executor/cas/cas.h"
#include "executor/cas/entry.pb.h"
#include "executor/cas/remote/remote_cache.h"
#include "executor/cas/remote/remote_tier.h"

namespace millrace {

// Where bytes that are not here would come from.
struct RemotePlace {
  std::string cache;  // the first one that has some
  int64_t bytes = 0;  // of all that is missing
};

struct RemoteHit {
  ActionEntry entry;
  RemotePlace place;
};

struct FetchedBytes {
  int64_t bytes = 0;
  double seconds = 0;
  std::string cache;
};

// Thread-safe.
class RemoteStore {
 public:
  RemoteStore(std::vector<std::unique_ptr<RemoteCache>> caches, Cas& cas);

  // The entry of the first cache that has one with all of its blobs: each is here or was seen there. `is_of_key` says
  // whether an entry is that of the key; one that is not is not used.
  absl::optional<RemoteHit> FindEntry(const Digest& key, const std::function<bool(const ActionEntry&)>& is_of_key);
  // The segments that the caches know of a chain, without repeats. Their states may be gone.
  std::vector<SegmentEntry> FindSegments(const Digest& chain_key);
  // Where what is missing here of the trees is; nothing: some of it is nowhere.
  absl::optional<RemotePlace> FindTrees(const std::vector<Digest>& trees);

  // Puts the listings of trees that were found into the local storage: then a tree is known, though not its bytes.
  absl::Status KeepListings(const std::vector<Digest>& trees);

  struct FetchOptions {
    // More than this is not worth it: a cache that needs longer is left out.
    absl::Duration at_most = absl::InfiniteDuration();
    const std::atomic<bool>* cancelled = nullptr;
    std::function<void(int64_t done, int64_t total, const std::string& cache)> progress;  // about twice a second
  };
  // Gets the missing blobs of the trees, several at a time. NotFound: some are nowhere. Cancelled. Others: of this
  // machine (full disk). Blobs that came stay in any case.
  absl::StatusOr<FetchedBytes> FetchTrees(const std::vector<Digest>& trees, const FetchOptions& options);

  std::vector<std::unique_ptr<RemoteTier>>& tiers() { return tiers_; }
  Notes& notes() { return notes_; }
  Cas& cas() { return cas_; }

 private:
  struct Blob {
    Digest digest;
    int64_t size_bytes = 0;
  };
  absl::StatusOr<Tree> Listing(const Digest& tree);
  absl::StatusOr<std::vector<Blob>> MissingBlobs(const std::vector<Digest>& trees);
  // The first tier that has it; null: none.
  RemoteTier* TierWith(const Blob& blob);
  absl::Status FetchBlob(const Blob& blob, const TransferControl& control, RemoteTier*& from);

  Cas& cas_;
  Notes notes_;
  std::vector<std::unique_ptr<RemoteTier>> tiers_;
  std::mutex mutex_;
  absl::flat_hash_map<Digest, std::string> listings_;  // canonical texts that came from a cache
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_STORE_H_
