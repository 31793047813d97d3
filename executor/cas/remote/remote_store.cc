#include "executor/cas/remote/remote_store.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <set>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/parallel.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "executor/cas/remote/entry_text.h"

namespace millrace {
namespace {

constexpr int kParallelLooks = 16;
constexpr int kParallelFetches = 8;
constexpr int64_t kMaxListingBytes = int64_t{64} << 20;
constexpr std::chrono::milliseconds kProgressEvery(500);

}  // namespace

RemoteStore::RemoteStore(std::vector<std::unique_ptr<RemoteCache>> caches, Cas& cas) : cas_(cas) {
  for (std::unique_ptr<RemoteCache>& cache : caches)
    tiers_.push_back(std::make_unique<RemoteTier>(std::move(cache), &notes_));
}

absl::optional<RemoteHit> RemoteStore::FindEntry(const Digest& key,
                                                 const std::function<bool(const ActionEntry&)>& is_of_key) {
  for (const std::unique_ptr<RemoteTier>& tier : tiers_) {
    const absl::StatusOr<std::string> bytes = tier->GetEntry(key);
    if (!bytes.ok()) continue;
    absl::StatusOr<ActionEntry> entry = DecodeEntry(*bytes);
    if (!entry.ok() || !is_of_key(*entry)) {
      tier->NameBadEntry(key, entry.ok() ? "it is that of another key" : entry.status().message());
      continue;
    }
    std::vector<Digest> trees;
    for (const OutputTree& output : entry->output()) trees.push_back(*Digest::Parse(output.digest()));
    absl::optional<RemotePlace> place = FindTrees(trees);
    if (!place.has_value()) continue;  // hollow
    if (place->cache.empty()) place->cache = tier->name();
    return RemoteHit{*std::move(entry), *std::move(place)};
  }
  return absl::nullopt;
}

std::vector<SegmentEntry> RemoteStore::FindSegments(const Digest& chain_key) {
  std::vector<SegmentEntry> segments;
  std::set<std::string> seen;
  for (const std::unique_ptr<RemoteTier>& tier : tiers_) {
    const absl::StatusOr<std::string> bytes = tier->GetEntry(ChainManifestKey(chain_key));
    if (!bytes.ok()) continue;
    absl::StatusOr<ChainManifest> manifest = DecodeChain(*bytes, chain_key);
    if (!manifest.ok()) {
      tier->NameBadEntry(ChainManifestKey(chain_key), manifest.status().message());
      continue;
    }
    for (SegmentEntry& segment : *manifest->mutable_segment()) {
      if (seen.insert(SegmentIdentity(segment)).second) segments.push_back(std::move(segment));
    }
  }
  return segments;
}

absl::StatusOr<Tree> RemoteStore::Listing(const Digest& digest) {
  absl::StatusOr<Tree> here = cas_.GetTree(digest);
  if (here.ok()) return here;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = listings_.find(digest); found != listings_.end()) return Tree::Parse(found->second);
  }
  for (const std::unique_ptr<RemoteTier>& tier : tiers_) {
    absl::StatusOr<std::string> bytes = tier->GetBytes(digest, kMaxListingBytes);
    if (!bytes.ok()) continue;
    absl::StatusOr<Tree> tree = Tree::Parse(*bytes);
    if (!tree.ok()) continue;
    std::lock_guard lock(mutex_);
    listings_[digest] = *std::move(bytes);
    return tree;
  }
  return absl::NotFoundError(absl::StrCat("no cache has the tree ", digest.ToString()));
}

absl::StatusOr<std::vector<RemoteStore::Blob>> RemoteStore::MissingBlobs(const std::vector<Digest>& trees) {
  std::vector<Blob> missing;
  absl::flat_hash_set<Digest> seen;
  for (const Digest& digest : trees) {
    ASSIGN_OR_RETURN(const Tree tree, Listing(digest));
    for (const TreeFile& file : tree.files) {
      if (seen.insert(file.digest).second && !cas_.Has(file.digest)) missing.push_back({file.digest, file.size_bytes});
    }
  }
  return missing;
}

RemoteTier* RemoteStore::TierWith(const Blob& blob) {
  for (const std::unique_ptr<RemoteTier>& tier : tiers_) {
    if (tier->HasBlob(blob.digest, blob.size_bytes)) return tier.get();
  }
  return nullptr;
}

absl::optional<RemotePlace> RemoteStore::FindTrees(const std::vector<Digest>& trees) {
  const absl::StatusOr<std::vector<Blob>> missing = MissingBlobs(trees);
  if (!missing.ok()) return absl::nullopt;
  std::vector<RemoteTier*> tier(missing->size());
  std::atomic<bool> hollow = false;
  ParallelFor(std::min<int>(kParallelLooks, static_cast<int>(missing->size())), missing->size(), [&](int64_t i) {
    if (hollow) return;
    tier[i] = TierWith((*missing)[i]);
    if (tier[i] == nullptr) hollow = true;
  });
  if (hollow) return absl::nullopt;
  RemotePlace place;
  for (const Blob& blob : *missing) place.bytes += blob.size_bytes;
  if (!tier.empty()) place.cache = tier[0]->name();
  return place;
}

absl::Status RemoteStore::KeepListings(const std::vector<Digest>& trees) {
  for (const Digest& digest : trees) {
    std::string canonical;
    {
      std::lock_guard lock(mutex_);
      const auto found = listings_.find(digest);
      if (found == listings_.end()) continue;
      canonical = found->second;
    }
    RETURN_IF_ERROR(cas_.Put(canonical).status());
  }
  return absl::OkStatus();
}

absl::Status RemoteStore::FetchBlob(const Blob& blob, const TransferControl& control, RemoteTier*& from) {
  for (const std::unique_ptr<RemoteTier>& tier : tiers_) {
    const Cas::Hold hold(cas_);
    absl::Status status;
    if (Cas::IsSmall(blob.size_bytes)) {
      const absl::StatusOr<std::string> bytes = tier->GetBytes(blob.digest, blob.size_bytes);
      status = bytes.status();
      if (bytes.ok()) {
        RETURN_IF_ERROR(cas_.Put(*bytes).status());
        *control.moved_bytes += blob.size_bytes;
      }
    } else {
      const std::string path = cas_.TemporaryPath();
      status = tier->GetBlob(blob.digest, blob.size_bytes, path, control);
      if (status.ok()) RETURN_IF_ERROR(cas_.Adopt(path, blob.digest));
    }
    if (status.ok()) {
      from = tier.get();
      return status;
    }
    if (absl::IsDeadlineExceeded(status)) {
      from = tier.get();
      return status;
    }
    if (!absl::IsNotFound(status) && !absl::IsDataLoss(status)) return status;
  }
  return absl::NotFoundError(absl::StrCat("no cache has the blob ", blob.digest.ToString()));
}

absl::StatusOr<FetchedBytes> RemoteStore::FetchTrees(const std::vector<Digest>& trees, const FetchOptions& options) {
  FetchedBytes fetched;
  const absl::Time started = absl::Now();
  ASSIGN_OR_RETURN(std::vector<Blob> missing, MissingBlobs(trees));
  RETURN_IF_ERROR(KeepListings(trees));
  for (const Blob& blob : missing) fetched.bytes += blob.size_bytes;
  // The largest first: they are not left to the end.
  std::stable_sort(missing.begin(), missing.end(),
                   [](const Blob& a, const Blob& b) { return a.size_bytes > b.size_bytes; });

  std::atomic<int64_t> moved_bytes = 0;
  TransferControl control;
  control.cancelled = options.cancelled;
  control.deadline = started + options.at_most;
  control.moved_bytes = &moved_bytes;
  std::mutex mutex;
  std::condition_variable done;
  bool all_done = false;
  absl::Status failure;
  std::thread reporter;
  if (options.progress != nullptr && !missing.empty()) {
    reporter = std::thread([&] {
      std::unique_lock lock(mutex);
      while (!done.wait_for(lock, kProgressEvery, [&] { return all_done; }))
        options.progress(std::min<int64_t>(moved_bytes, fetched.bytes), fetched.bytes, fetched.cache);
    });
  }
  ParallelFor(std::min<int>(kParallelFetches, static_cast<int>(missing.size())), missing.size(), [&](int64_t i) {
    {
      std::lock_guard lock(mutex);
      if (!failure.ok()) return;
    }
    RemoteTier* from = nullptr;
    const absl::Status status = FetchBlob(missing[i], control, from);
    if (absl::IsDeadlineExceeded(status)) {
      const double seconds = absl::ToDoubleSeconds(absl::Now() - started);
      from->LeaveOut(absl::StrCat("it is slow (", FormatBytes(static_cast<double>(moved_bytes)), " of ",
                                  FormatBytes(static_cast<double>(fetched.bytes)), " in ", FormatSeconds(seconds),
                                  "): making it again takes less"));
    }
    std::lock_guard lock(mutex);
    if (!status.ok() && failure.ok()) failure = status;
    if (status.ok() && fetched.cache.empty()) fetched.cache = from->name();
  });
  {
    std::lock_guard lock(mutex);
    all_done = true;
  }
  done.notify_all();
  if (reporter.joinable()) reporter.join();
  if (absl::IsDeadlineExceeded(failure)) return absl::NotFoundError("the cache is left out");
  RETURN_IF_ERROR(failure);
  fetched.seconds = absl::ToDoubleSeconds(absl::Now() - started);
  return fetched;
}

}  // namespace millrace
