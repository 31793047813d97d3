#include "executor/cas/remote/remote_tier.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

constexpr size_t kMaxBadBlobs = 3;

}  // namespace

void Notes::Add(std::string note) {
  std::lock_guard lock(mutex_);
  notes_.push_back(std::move(note));
}

std::vector<std::string> Notes::Take() {
  std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

bool RemoteTier::readable() {
  std::lock_guard lock(mutex_);
  return gets_;
}

bool RemoteTier::writable() {
  std::lock_guard lock(mutex_);
  return puts_ && !cache_->read_only();
}

void RemoteTier::NameBadEntry(const Digest& key, absl::string_view why) {
  std::lock_guard lock(mutex_);
  if (!std::exchange(said_bad_entry_, true))
    notes_.Add(absl::StrCat("cache ", name(), ": the entry ", key.Hex(), " is not used: ", why));
}

void RemoteTier::LeaveOut(absl::string_view why) {
  std::lock_guard lock(mutex_);
  if (!std::exchange(gets_, false)) return;
  puts_ = false;
  notes_.Add(absl::StrCat("cache ", name(), ": ", why, "; this run goes on without it"));
}

absl::Status RemoteTier::AfterGet(const absl::Status& status, const Digest* blob) {
  switch (status.code()) {
    case absl::StatusCode::kDataLoss: {
      std::unique_lock lock(mutex_);
      // An entry that cannot be read has no digest to remember it by: it is a miss.
      if (blob != nullptr && bad_.insert(*blob).second) {
        there_.erase(*blob);
        if (bad_.size() >= kMaxBadBlobs) {
          lock.unlock();
          LeaveOut(absl::StrCat(kMaxBadBlobs, " of its blobs are damaged"));
          return status;
        }
        notes_.Add(absl::StrCat("cache ", name(), ": blob ", blob->ToString(), " is damaged (", status.message(),
                                "); it is not used"));
      }
      return status;
    }
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kFailedPrecondition:
      LeaveOut(status.message());
      return absl::NotFoundError("the cache is left out");
    case absl::StatusCode::kOutOfRange:
      return absl::NotFoundError(status.message());
    default:
      return status;
  }
}

absl::Status RemoteTier::AfterPut(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kFailedPrecondition:
      if (gets_ && std::exchange(puts_, false))
        notes_.Add(absl::StrCat("cache ", name(), ": results cannot be put there: ", status.message(),
                                "; this run puts none"));
      return status;
    case absl::StatusCode::kOutOfRange:
      if (!std::exchange(said_too_large_, true))
        notes_.Add(absl::StrCat("cache ", name(), ": ", status.message(),
                                "; results with blobs of that size are not put there"));
      return status;
    default:
      return status;
  }
}

absl::StatusOr<std::string> RemoteTier::GetEntry(const Digest& key) {
  if (!readable()) return absl::NotFoundError("the cache is left out");
  absl::StatusOr<std::string> entry = cache_->GetEntry(key);
  if (!entry.ok()) return AfterGet(entry.status(), nullptr);
  return entry;
}

absl::StatusOr<std::string> RemoteTier::GetBytes(const Digest& digest, int64_t max_bytes) {
  if (!readable() || IsBad(digest)) return absl::NotFoundError("the cache is left out");
  absl::StatusOr<std::string> bytes = cache_->GetBytes(digest, max_bytes);
  if (!bytes.ok()) return AfterGet(bytes.status(), &digest);
  std::lock_guard lock(mutex_);
  there_.insert(digest);
  return bytes;
}

absl::Status RemoteTier::GetBlob(const Digest& digest, int64_t size_bytes, const std::string& path,
                                 const TransferControl& control) {
  if (!readable() || IsBad(digest) || size_bytes > max_blob_bytes()) return absl::NotFoundError("not to be had there");
  const absl::Status status = cache_->GetBlob(digest, size_bytes, path, control);
  if (absl::IsNotFound(status)) {
    std::lock_guard lock(mutex_);
    there_.erase(digest);
  }
  return AfterGet(status, &digest);
}

bool RemoteTier::HasBlob(const Digest& digest, int64_t size_bytes) {
  if (size_bytes > max_blob_bytes()) return false;
  {
    std::lock_guard lock(mutex_);
    if (!gets_ || bad_.contains(digest)) return false;
    if (there_.contains(digest)) return true;
  }
  const absl::Status status = cache_->HasBlob(digest, size_bytes);
  if (!status.ok()) {
    AfterGet(status, &digest).IgnoreError();
    return false;
  }
  std::lock_guard lock(mutex_);
  there_.insert(digest);
  return true;
}

bool RemoteTier::IsBad(const Digest& digest) {
  std::lock_guard lock(mutex_);
  return bad_.contains(digest);
}

absl::Status RemoteTier::PutEntry(const Digest& key, const std::string& entry) {
  if (!writable()) return absl::UnavailableError("the cache takes nothing");
  return AfterPut(cache_->PutEntry(key, entry));
}

absl::Status RemoteTier::PutBlob(const Digest& digest, const BlobSource& source, const TransferControl& control) {
  if (!writable()) return absl::UnavailableError("the cache takes nothing");
  const absl::Status status = AfterPut(cache_->PutBlob(digest, source, control));
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  bad_.erase(digest);
  there_.insert(digest);
  return status;
}

}  // namespace millrace
