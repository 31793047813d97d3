// A cache that machines share: entries by key, blobs by digest. The one interface behind which kinds of caches stand.
//
// What is not there is NotFound. Any other failure of the cache is Unavailable (no answer, or not a useful one),
// PermissionDenied (it does not let us) or OutOfRange (too large for it), in one sentence without a name or a secret.
// Other codes are of this machine (its disk, say), or the transfer control's.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_CACHE_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_CACHE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cas/digest.h"
#include "executor/cas/remote/http_client.h"

namespace millrace {

// What to send: the file at `path`, or, if that is empty, `bytes`.
struct BlobSource {
  std::string path;
  std::string bytes;
  int64_t size_bytes = 0;
};

// Thread-safe.
class RemoteCache {
 public:
  virtual ~RemoteCache() = default;

  // For people.
  virtual const std::string& name() const = 0;
  virtual bool read_only() const = 0;
  // Larger blobs are neither sent nor fetched.
  virtual int64_t max_blob_bytes() const = 0;

  virtual absl::StatusOr<std::string> GetEntry(const Digest& key) = 0;
  virtual absl::Status PutEntry(const Digest& key, const std::string& entry) = 0;

  // NotFound also if the cache has it with another size.
  virtual absl::Status HasBlob(const Digest& digest, int64_t size_bytes) = 0;
  // A blob into memory. DataLoss: its bytes do not match, or there are more than `max_bytes`.
  virtual absl::StatusOr<std::string> GetBytes(const Digest& digest, int64_t max_bytes) = 0;
  // A blob to a new file. Parts come in parallel where the cache can, and where a transfer broke off it goes on.
  // DataLoss: the bytes do not match. The file is removed unless all is well.
  virtual absl::Status GetBlob(const Digest& digest, int64_t size_bytes, const std::string& path,
                               const TransferControl& control) = 0;
  virtual absl::Status PutBlob(const Digest& digest, const BlobSource& source, const TransferControl& control) = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_REMOTE_CACHE_H_
