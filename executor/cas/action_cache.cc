// Records of entries.log, by type:
//   3  all records before an offset (8 bytes) are on disk
//   5  an action's entry: header, bytes of the next part (4), serialized ActionEntry without `key`, then the KeyRecord
//   6  a segment: header, serialized SegmentEntry
//   7  a tree's bytes were written: its digest (32), hash of the boot id (8)
//   8  a tree was read and checked: as 7
// The header: key (32 bytes), time in microseconds since 1970 (8). Numbers are little-endian.
//
// A record whose layout or meaning changes gets a new type, here and for what entry.proto says: what an earlier program
// wrote is passed over then, and made again. Types 1, 2 and 4 were such.
#include "executor/cas/action_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr uint32_t kSynced = 3;
constexpr uint32_t kAction = 5;
constexpr uint32_t kSegment = 6;
constexpr uint32_t kWritten = 7;
constexpr uint32_t kVerified = 8;
constexpr size_t kHeaderBytes = 40;
constexpr size_t kTreeBytes = 40;

uint64_t BootHash(const std::string& boot_id) {
  uint64_t hash;
  std::memcpy(&hash, Sha256Of(boot_id).data(), sizeof(hash));
  return hash;
}

Digest DigestAt(absl::string_view bytes) {
  Digest digest;
  std::memcpy(digest.bytes.data(), bytes.data(), digest.bytes.size());
  return digest;
}

template <typename T>
T NumberAt(absl::string_view bytes, size_t offset) {
  T number;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

std::string Framed(const Digest& key, absl::string_view payload) {
  std::string framed(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size());
  const int64_t now = absl::ToUnixMicros(absl::Now());
  framed.append(reinterpret_cast<const char*>(&now), sizeof(now));
  framed.append(payload.data(), payload.size());
  return framed;
}

std::string Outputs(const ActionEntry& entry) {
  std::string text;
  for (const OutputTree& output : entry.output()) absl::StrAppend(&text, output.name(), " ", output.digest(), "\n");
  return absl::StrCat(text, entry.gate_failed() ? "gate failed" : "");
}

bool HaveSameData(const SegmentEntry& a, const SegmentEntry& b) {
  return a.data() == b.data() || (!a.data_of_steps().empty() && a.data_of_steps() == b.data_of_steps());
}

absl::Status DifferentResult(absl::string_view stage, absl::string_view what, absl::string_view recorded,
                             absl::string_view now) {
  return absl::FailedPreconditionError(absl::StrCat(
      "stage \"", stage, "\" made another ", what, " than the one recorded for the same key: ", now, ", recorded ",
      recorded,
      "\n  why: same parameters, inputs and program must give the same bytes; times, host names, unsorted sets and "
      "unseeded random numbers break that\n  fix: make the program repeatable; the first result stays in the cache"));
}

}  // namespace

std::string BootId() {
  const absl::StatusOr<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id");
  return id.ok() ? std::string(absl::StripSuffix(*id, "\n")) : "";
}

ActionCache::ActionCache(Cas& cas, const std::string& boot_id, const std::atomic<int>* stop)
    : cas_(cas), boot_(BootHash(boot_id)), stop_(stop) {}

absl::StatusOr<std::unique_ptr<ActionCache>> ActionCache::Open(Cas& cas, const std::string& boot_id,
                                                               const std::atomic<int>* stop) {
  std::unique_ptr<ActionCache> cache(new ActionCache(cas, boot_id, stop));
  ASSIGN_OR_RETURN(cache->log_, RecordLog::Open(JoinPath(cas.folder(), "entries.log")));
  RETURN_IF_ERROR(cache->Refresh());
  return cache;
}

void ActionCache::Visit(const RecordLog::Record& record) {
  if (record.type == kSynced && record.payload.size() == 8)
    synced_until_ = std::max(synced_until_, NumberAt<int64_t>(record.payload, 0));
  if ((record.type == kWritten || record.type == kVerified) && record.payload.size() == kTreeBytes)
    VisitTree(record.type, DigestAt(record.payload), {record.offset, NumberAt<uint64_t>(record.payload, 32)});
  if (record.payload.size() < kHeaderBytes) return;
  // A second record of a key follows one that could not be read.
  if (record.type == kAction) entries_[DigestAt(record.payload)] = record.offset;
  if (record.type == kSegment) segments_[DigestAt(record.payload)].push_back(record.offset);
}

void ActionCache::VisitTree(uint32_t type, const Digest& tree, const Written& written) {
  if (type == kWritten && written.boot != boot_) {
    doubted_[tree] = written;
  } else if (const auto found = doubted_.find(tree); found != doubted_.end()) {
    // What was read in the boot that wrote it may have come from memory.
    if (type == kWritten || found->second.boot != written.boot) doubted_.erase(found);
  }
}

void ActionCache::Forget() {
  entries_.clear();
  segments_.clear();
  doubted_.clear();
  synced_until_ = 0;
}

absl::Status ActionCache::Refresh() {
  std::lock_guard lock(mutex_);
  return log_->Refresh([this](const RecordLog::Record& record) { Visit(record); }, [this] { Forget(); });
}

std::string ActionCache::WithBoot(const Digest& tree) const {
  std::string bytes(reinterpret_cast<const char*>(tree.bytes.data()), tree.bytes.size());
  bytes.append(reinterpret_cast<const char*>(&boot_), sizeof(boot_));
  return bytes;
}

void ActionCache::AddWritten(const OutputTree& output, RecordLog::Batch& batch) const {
  if (const absl::StatusOr<Digest> tree = Digest::Parse(output.digest()); tree.ok())
    batch.Add(kWritten, WithBoot(*tree));
}

absl::Status ActionCache::Append(const std::function<RecordLog::Batch()>& make) {
  std::lock_guard lock(mutex_);
  return log_->Update([this](const RecordLog::Record& record) { Visit(record); }, make, [this] { Forget(); }).status();
}

absl::Status ActionCache::Parse(int64_t offset, google::protobuf::MessageLite& message) {
  bool good = false;
  RETURN_IF_ERROR(log_->View(offset, [&](const RecordLog::Record& record) {
    good = message.ParseFromArray(record.payload.data() + kHeaderBytes, record.payload.size() - kHeaderBytes);
  }));
  if (!good) return absl::DataLossError(absl::StrCat(log_->path(), ": the entry at ", offset, " cannot be read"));
  return absl::OkStatus();
}

bool ActionCache::HasTree(const Digest& tree) {
  bool doubtful;
  {
    std::shared_lock lock(mutex_);
    const auto found = doubted_.find(tree);
    doubtful = found != doubted_.end() && found->second.offset >= synced_until_;
  }
  if (!doubtful) return cas_.HasTree(tree);
  if (!cas_.VerifyTree(tree, /*threads=*/2, stop_).ok()) return false;
  RecordLog::Batch batch;
  batch.Add(kVerified, WithBoot(tree));
  Append([&] { return batch; }).IgnoreError();
  return true;
}

absl::Status ActionCache::ParseEntry(int64_t offset, bool with_key, ActionEntry& entry) {
  bool good = false;
  RETURN_IF_ERROR(log_->View(offset, [&](const RecordLog::Record& record) {
    absl::string_view rest = record.payload.substr(kHeaderBytes);
    if (rest.size() < sizeof(uint32_t)) return;
    const auto size = NumberAt<uint32_t>(rest, 0);
    rest.remove_prefix(sizeof(size));
    if (rest.size() < size) return;
    good = entry.ParseFromArray(rest.data(), static_cast<int>(size));
    rest.remove_prefix(size);
    if (with_key) good &= entry.mutable_key()->ParseFromArray(rest.data(), static_cast<int>(rest.size()));
  }));
  if (!good) return absl::DataLossError(absl::StrCat(log_->path(), ": the entry at ", offset, " cannot be read"));
  return absl::OkStatus();
}

absl::StatusOr<FoundEntry> ActionCache::Lookup(const Digest& key, const LookupOptions& options) {
  const auto find = [&]() -> absl::optional<int64_t> {
    std::shared_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return absl::nullopt;
    return found->second;
  };
  FoundEntry result;
  absl::optional<int64_t> offset = find();
  if (!offset.has_value()) {
    RETURN_IF_ERROR(Refresh());
    offset = find();
    if (!offset.has_value()) return result;
  }
  const absl::Status parsed = ParseEntry(*offset, options.with_key, result.entry);
  if (absl::IsDataLoss(parsed)) return FoundEntry{};
  RETURN_IF_ERROR(parsed);
  result.state = EntryState::kComplete;
  if (!options.check_bytes) return result;
  for (const OutputTree& output : result.entry.output()) {
    ASSIGN_OR_RETURN(const Digest tree, Digest::Parse(output.digest()));
    if (!HasTree(tree)) result.state = EntryState::kKnown;
  }
  return result;
}

absl::Status ActionCache::Put(const Digest& key, const ActionEntry& entry, absl::string_view stage) {
  ActionEntry without_key = entry;
  without_key.clear_key();
  std::string payload(sizeof(uint32_t), '\0');
  without_key.AppendToString(&payload);
  const auto size = static_cast<uint32_t>(payload.size() - sizeof(uint32_t));
  std::memcpy(payload.data(), &size, sizeof(size));
  entry.key().AppendToString(&payload);
  bool there = false;
  const auto append = [&](bool replace) {
    needs_sync_ = true;
    return Append([&] {
      RecordLog::Batch batch;
      there = entries_.contains(key);
      if (!there || replace) batch.Add(kAction, Framed(key, payload));
      for (const OutputTree& output : entry.output()) AddWritten(output, batch);
      return batch;
    });
  };
  RETURN_IF_ERROR(append(/*replace=*/false));
  if (!there) return absl::OkStatus();
  ASSIGN_OR_RETURN(const FoundEntry first, Lookup(key, {.check_bytes = false}));
  if (first.state == EntryState::kAbsent) return append(/*replace=*/true);
  if (Outputs(first.entry) == Outputs(entry)) return absl::OkStatus();
  for (int i = 0; i < std::min(first.entry.output_size(), entry.output_size()); ++i) {
    const OutputTree& recorded = first.entry.output(i);
    const OutputTree& now = entry.output(i);
    if (recorded.digest() != now.digest())
      return DifferentResult(stage, absl::StrCat("\"", now.name(), "\""), recorded.digest(), now.digest());
  }
  return DifferentResult(stage, "set of outputs", Outputs(first.entry), Outputs(entry));
}

absl::StatusOr<std::vector<SegmentEntry>> ActionCache::Segments(const Digest& chain_key) {
  RETURN_IF_ERROR(Refresh());
  std::vector<int64_t> offsets;
  {
    std::shared_lock lock(mutex_);
    if (const auto found = segments_.find(chain_key); found != segments_.end()) offsets = found->second;
  }
  std::vector<SegmentEntry> segments;
  for (const int64_t offset : offsets) {
    if (SegmentEntry segment; Parse(offset, segment).ok()) segments.push_back(std::move(segment));
  }
  return segments;
}

absl::Status ActionCache::PutSegment(const Digest& chain_key, const SegmentEntry& segment, absl::string_view stage) {
  ASSIGN_OR_RETURN(const std::vector<SegmentEntry> recorded, Segments(chain_key));
  bool there = false;
  for (const SegmentEntry& other : recorded) {
    if (other.parent() != segment.parent() || other.first() != segment.first() || other.last() != segment.last() ||
        other.steps_digest() != segment.steps_digest() || !HaveSameData(other, segment))
      continue;
    there = other.state().digest() == segment.state().digest() &&
            Outputs(other.completed()) == Outputs(segment.completed());
    if (there) break;
    return DifferentResult(stage, absl::StrCat("state after step ", segment.last()), other.state().digest(),
                           segment.state().digest());
  }
  needs_sync_ = true;
  return Append([&] {
    RecordLog::Batch batch;
    if (!there) batch.Add(kSegment, Framed(chain_key, segment.SerializeAsString()));
    AddWritten(segment.state(), batch);
    for (const OutputTree& output : segment.completed().output()) AddWritten(output, batch);
    return batch;
  });
}

absl::Status ActionCache::Sync() {
  const int fd = ::open(log_->path().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", log_->path());
  const int64_t before = log_->size_bytes();
  const int error = ::syncfs(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (error != 0) return ErrnoError(error, "sync", cas_.folder());
  needs_sync_ = false;
  RecordLog::Batch batch;
  batch.Add(kSynced, {reinterpret_cast<const char*>(&before), sizeof(before)});
  return Append([&] { return batch; });
}

absl::StatusOr<std::vector<ActionCache::Item>> ActionCache::ListItems() {
  RETURN_IF_ERROR(Refresh());
  std::vector<std::pair<int64_t, bool>> all;  // offset, whether it is a segment
  {
    std::shared_lock lock(mutex_);
    for (const auto& [key, offset] : entries_) all.emplace_back(offset, false);
    for (const auto& [key, offsets] : segments_) {
      for (const int64_t offset : offsets) all.emplace_back(offset, true);
    }
  }
  std::sort(all.begin(), all.end());
  std::vector<Item> items;
  for (const auto& [offset, is_segment] : all) {
    Item item;
    item.is_segment = is_segment;
    RETURN_IF_ERROR(log_->View(offset, [&](const RecordLog::Record& record) {
      item.key = DigestAt(record.payload);
      item.created_unix_micros = NumberAt<int64_t>(record.payload, 32);
    }));
    const auto add_tree = [&](const OutputTree& output) {
      if (const absl::StatusOr<Digest> tree = Digest::Parse(output.digest()); tree.ok()) item.trees.push_back(*tree);
    };
    if (is_segment) {
      if (!Parse(offset, item.segment).ok()) continue;
      item.segment.clear_curve();
      item.rebuild_seconds = item.segment.duration_seconds();
      add_tree(item.segment.state());
      for (const OutputTree& output : item.segment.completed().output()) add_tree(output);
    } else {
      ActionEntry entry;
      if (!ParseEntry(offset, /*with_key=*/false, entry).ok()) continue;
      item.rebuild_seconds = entry.duration_seconds();
      for (const OutputTree& output : entry.output()) add_tree(output);
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace millrace
