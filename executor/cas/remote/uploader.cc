#include "executor/cas/remote/uploader.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/cas/remote/entry_text.h"

namespace millrace {
namespace {

constexpr int kItemsAtATime = 4;
constexpr int kBlobsAtATime = 4;    // of an item
constexpr int kManifestRounds = 3;  // others may write it at the same time
constexpr uint32_t kSent = 1;       // record: the key

bool SameOutputs(const ActionEntry& a, const ActionEntry& b) {
  if (a.output_size() != b.output_size() || a.gate_failed() != b.gate_failed()) return false;
  for (int i = 0; i < a.output_size(); ++i) {
    if (a.output(i).name() != b.output(i).name() || a.output(i).digest() != b.output(i).digest()) return false;
  }
  return true;
}

std::string IdentityOf(const SegmentEntry& segment) {
  return absl::StrCat(SegmentIdentity(segment), " ", segment.state().digest());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Uploader>> Uploader::Open(RemoteStore& remotes, ActionCache& cache,
                                                         const std::string& folder) {
  std::unique_ptr<Uploader> uploader(new Uploader(remotes, cache));
  for (const std::unique_ptr<RemoteTier>& tier : remotes.tiers()) {
    Remembered remembered;
    if (tier->writable()) {
      const std::string name = Digest::Of(tier->name()).Hex().substr(0, 16);
      ASSIGN_OR_RETURN(remembered.log, RecordLog::Open(absl::StrCat(folder, "/", name, ".log")));
      RETURN_IF_ERROR(remembered.log->Refresh([&](const RecordLog::Record& record) {
        Digest key;
        if (record.type == kSent && record.payload.size() == key.bytes.size()) {
          std::copy(record.payload.begin(), record.payload.end(), key.bytes.begin());
          remembered.keys.insert(key);
        }
      }));
    }
    uploader->remembered_.push_back(std::move(remembered));
  }
  return uploader;
}

Uploader::~Uploader() {
  Cancel();
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Uploader::AddEntry(const Digest& key) {
  bool wanted = false;
  {
    std::lock_guard lock(mutex_);
    for (size_t t = 0; t < remembered_.size(); ++t)
      wanted |= remembered_[t].log != nullptr && !remembered_[t].keys.contains(key);
  }
  if (wanted) Add({key, /*is_chain=*/false});
}

void Uploader::AddChain(const Digest& chain_key) {
  {
    std::lock_guard lock(mutex_);
    if (!chains_waiting_.insert(chain_key).second) return;
  }
  Add({chain_key, /*is_chain=*/true});
}

void Uploader::Add(const Item& item) {
  const auto& tiers = remotes_.tiers();
  if (cancelled_ || std::none_of(tiers.begin(), tiers.end(), [](const auto& tier) { return tier->writable(); })) return;
  std::lock_guard lock(mutex_);
  waiting_.push_back(item);
  if (threads_.empty()) started_at_ = absl::Now();
  if (threads_.size() < kItemsAtATime) threads_.emplace_back([this] { Work(); });
  changed_.notify_all();
}

void Uploader::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
    if (ended_) return;
    const Item item = waiting_.front();
    waiting_.pop_front();
    if (item.is_chain) chains_waiting_.erase(item.key);
    ++num_working_;
    lock.unlock();
    Send(item);
    lock.lock();
    --num_working_;
    changed_.notify_all();
  }
}

void Uploader::Send(const Item& item) {
  for (size_t t = 0; t < remembered_.size(); ++t) {
    RemoteTier& tier = *remotes_.tiers()[t];
    if (cancelled_ || !tier.writable()) continue;
    if (item.is_chain) {
      SendChain(item.key, tier);
      continue;
    }
    {
      std::lock_guard lock(mutex_);
      if (remembered_[t].keys.contains(item.key)) continue;
    }
    if (!SendEntry(item.key, tier)) continue;
    RecordLog::Batch batch;
    batch.Add(kSent, {reinterpret_cast<const char*>(item.key.bytes.data()), item.key.bytes.size()});
    std::lock_guard lock(mutex_);
    ++results_sent_;
    remembered_[t].keys.insert(item.key);
    remembered_[t].log->Append(batch).IgnoreError();
  }
}

bool Uploader::SendBlob(const Digest& digest, int64_t size_bytes, RemoteTier& tier) {
  if (cancelled_ || size_bytes > tier.max_blob_bytes()) return false;
  if (tier.HasBlob(digest, size_bytes)) return true;
  BlobSource source;
  source.size_bytes = size_bytes;
  source.path = remotes_.cas().BlobPath(digest);
  if (source.path.empty()) {
    absl::StatusOr<std::string> bytes = remotes_.cas().Get(digest);
    if (!bytes.ok()) return false;  // collected meanwhile
    source.bytes = *std::move(bytes);
    source.size_bytes = static_cast<int64_t>(source.bytes.size());
  }
  TransferControl control;
  control.cancelled = &cancelled_;
  control.moved_bytes = &bytes_sent_;
  return tier.PutBlob(digest, source, control).ok();
}

bool Uploader::SendTrees(const std::vector<Tree>& trees, RemoteTier& tier) {
  std::vector<std::pair<Digest, int64_t>> blobs;
  absl::flat_hash_set<Digest> seen;
  for (const Tree& tree : trees) {
    for (const TreeFile& file : tree.files) {
      if (seen.insert(file.digest).second) blobs.emplace_back(file.digest, file.size_bytes);
    }
  }
  std::atomic<bool> all = true;
  for (const auto& [digest, size_bytes] : blobs) all = all && size_bytes <= tier.max_blob_bytes();
  ParallelFor(std::min<int>(kBlobsAtATime, static_cast<int>(blobs.size())), blobs.size(), [&](int64_t i) {
    if (all && !SendBlob(blobs[i].first, blobs[i].second, tier)) all = false;
  });
  for (const Tree& tree : trees) {
    const std::string canonical = tree.Canonical();
    all = all && SendBlob(Digest::Of(canonical), static_cast<int64_t>(canonical.size()), tier);
  }
  return all;
}

bool Uploader::MayPut(const Digest& key, const ActionEntry& entry, RemoteTier& tier) {
  const absl::StatusOr<std::string> bytes = tier.GetEntry(key);
  if (!bytes.ok()) return true;
  const absl::StatusOr<ActionEntry> theirs = DecodeEntry(*bytes);
  if (!theirs.ok() || SameOutputs(*theirs, entry)) return true;
  // Theirs may be of no use: its blobs may be gone.
  std::vector<Digest> trees;
  for (const OutputTree& output : theirs->output()) trees.push_back(*Digest::Parse(output.digest()));
  if (!remotes_.FindTrees(trees).has_value()) return true;
  remotes_.notes().Add(absl::StrCat("cache ", tier.name(), " has another result of a `", entry.kind(), "` stage, key ",
                                    key.Hex(),
                                    ", than the one made here; it keeps its own\n  why: same parameters, "
                                    "inputs and program must give the same bytes\n  fix: make the program repeatable"));
  return false;
}

bool Uploader::SendEntry(const Digest& key, RemoteTier& tier) {
  const absl::StatusOr<FoundEntry> found = cache_.Lookup(key, {.check_bytes = false});
  if (!found.ok() || found->state == EntryState::kAbsent) return false;
  std::map<Digest, Tree> by_digest;
  std::vector<Tree> trees;
  for (const OutputTree& output : found->entry.output()) {
    const absl::StatusOr<Digest> digest = Digest::Parse(output.digest());
    if (!digest.ok()) return false;
    absl::StatusOr<Tree> tree = remotes_.cas().GetTree(*digest);
    if (!tree.ok()) return false;
    trees.push_back(*tree);
    by_digest.emplace(*digest, *std::move(tree));
  }
  return MayPut(key, found->entry, tier) && SendTrees(trees, tier) && !cancelled_ &&
         tier.PutEntry(key, EncodeEntry(found->entry, by_digest)).ok();
}

bool Uploader::SendChain(const Digest& chain_key, RemoteTier& tier) {
  const absl::StatusOr<std::vector<SegmentEntry>> recorded = cache_.Segments(chain_key);
  if (!recorded.ok()) return false;
  ChainManifest ours;
  const SegmentEntry* last = nullptr;
  std::vector<Tree> trees;
  const auto add_tree = [&](const OutputTree& output) {
    const absl::StatusOr<Digest> digest = Digest::Parse(output.digest());
    if (!digest.ok() || !remotes_.cas().HasTree(*digest)) return false;
    absl::StatusOr<Tree> tree = remotes_.cas().GetTree(*digest);
    if (tree.ok()) trees.push_back(*std::move(tree));
    return tree.ok();
  };
  for (const SegmentEntry& segment : *recorded) {
    *ours.add_segment() = segment;
    const absl::StatusOr<Digest> state = Digest::Parse(segment.state().digest());
    if (state.ok() && (last == nullptr || segment.last() > last->last()) && remotes_.cas().HasTree(*state))
      last = &segment;
    for (const OutputTree& output : segment.completed().output()) add_tree(output);
  }
  if (last != nullptr) add_tree(last->state());
  if (!SendTrees(trees, tier)) return false;
  for (int round = 0; round < kManifestRounds && !cancelled_; ++round) {
    ChainManifest merged;
    absl::flat_hash_set<std::string> there;
    if (const absl::StatusOr<std::string> bytes = tier.GetEntry(ChainManifestKey(chain_key)); bytes.ok()) {
      if (absl::StatusOr<ChainManifest> theirs = DecodeChain(*bytes, chain_key); theirs.ok())
        merged = *std::move(theirs);
    }
    for (const SegmentEntry& segment : merged.segment()) there.insert(IdentityOf(segment));
    bool changed = false;
    for (const SegmentEntry& segment : ours.segment()) {
      if (!there.insert(IdentityOf(segment)).second) continue;
      *merged.add_segment() = segment;
      changed = true;
    }
    if (!changed) return true;
    merged.set_chain_key(chain_key.Hex());
    if (!tier.PutEntry(ChainManifestKey(chain_key), EncodeChain(merged)).ok()) return false;
  }
  return false;
}

Uploader::Progress Uploader::progress() {
  std::lock_guard lock(mutex_);
  Progress progress;
  progress.results_sent = results_sent_;
  progress.results_left = static_cast<int64_t>(waiting_.size()) + num_working_;
  progress.bytes_sent = bytes_sent_;
  if (!threads_.empty()) progress.seconds = absl::ToDoubleSeconds(absl::Now() - started_at_);
  return progress;
}

bool Uploader::Wait(absl::Duration at_most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, absl::ToChronoMilliseconds(at_most),
                           [this] { return waiting_.empty() && num_working_ == 0; });
}

void Uploader::Cancel() {
  cancelled_ = true;
  std::lock_guard lock(mutex_);
  waiting_.clear();
  chains_waiting_.clear();
}

}  // namespace millrace
