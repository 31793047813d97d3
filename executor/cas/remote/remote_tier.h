// A shared cache as a run uses it: what is wrong with it is said once, and then it is left alone for the rest of the
// run. A blob whose bytes did not match is named and never asked for again; a cache with several such is left out.
//
// Every call gives what it can: a cache that is left out has nothing (NotFound).
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_TIER_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_TIER_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cas/digest.h"
#include "executor/cas/remote/remote_cache.h"

namespace millrace {

// What is to be said to the user, until somebody takes it. Thread-safe.
class Notes {
 public:
  void Add(std::string note);
  std::vector<std::string> Take();

 private:
  std::mutex mutex_;
  std::vector<std::string> notes_;
};

// Thread-safe.
class RemoteTier {
 public:
  RemoteTier(std::unique_ptr<RemoteCache> cache, Notes* notes) : cache_(std::move(cache)), notes_(*notes) {}

  const std::string& name() const { return cache_->name(); }
  int64_t max_blob_bytes() const { return cache_->max_blob_bytes(); }
  bool readable();
  bool writable();

  // NotFound: not there, or the cache is left out.
  absl::StatusOr<std::string> GetEntry(const Digest& key);
  absl::StatusOr<std::string> GetBytes(const Digest& digest, int64_t max_bytes);
  // As those of the cache. Codes but NotFound and DataLoss are of this machine or the control's.
  absl::Status GetBlob(const Digest& digest, int64_t size_bytes, const std::string& path,
                       const TransferControl& control);
  // What was seen once is not asked for again.
  bool HasBlob(const Digest& digest, int64_t size_bytes);

  // Any error: it is not there; what there is to say has been said.
  absl::Status PutEntry(const Digest& key, const std::string& entry);
  absl::Status PutBlob(const Digest& digest, const BlobSource& source, const TransferControl& control);
  // Whether its bytes were found to be wrong: to be sent again though it is there.
  bool IsBad(const Digest& digest);

  // Says so, once, and leaves the cache out.
  void LeaveOut(absl::string_view why);
  // An entry that is none, or another one's: the first of a run is named.
  void NameBadEntry(const Digest& key, absl::string_view why);

 private:
  // Handles what went wrong; returns what the caller is to see.
  absl::Status AfterGet(const absl::Status& status, const Digest* blob);
  absl::Status AfterPut(const absl::Status& status);

  const std::unique_ptr<RemoteCache> cache_;
  Notes& notes_;
  std::mutex mutex_;
  bool gets_ = true, puts_ = true, said_too_large_ = false, said_bad_entry_ = false;
  absl::flat_hash_set<Digest> there_, bad_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_TIER_H_
