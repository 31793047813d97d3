// Records of entries.log, by type:
//   1  an action's entry: header, bytes of the next part (4), serialized ActionEntry without `key`, serialized
//   KeyRecord 2  a segment: header, serialized SegmentEntry 3  all records before an offset (8 bytes) are on disk 4  a
//   tree that was read and checked: its digest
// The header: key (32 bytes), time in microseconds since 1970 (8), hash of the boot id (8). Numbers are little-endian.
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

constexpr uint32_t kAction = 1;
constexpr uint32_t kSegment = 2;
constexpr uint32_t kSynced = 3;
constexpr uint32_t kVerified = 4;
constexpr size_t kHeaderBytes = 48;

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

ActionCache::ActionCache(Cas& cas, const std::string& boot_id) : cas_(cas), boot_(BootHash(boot_id)) {}

absl::StatusOr<std::unique_ptr<ActionCache>> ActionCache::Open(Cas& cas, const std::string& boot_id) {
  std::unique_ptr<ActionCache> cache(new ActionCache(cas, boot_id));
  ASSIGN_OR_RETURN(cache->log_, RecordLog::Open(JoinPath(cas.folder(), "entries.log")));
  RETURN_IF_ERROR(cache->Refresh());
  return cache;
}

void ActionCache::Visit(const RecordLog::Record& record) {
  if (record.type == kSynced && record.payload.size() == 8)
    synced_until_ = std::max(synced_until_, NumberAt<int64_t>(record.payload, 0));
  if (record.type == kVerified && record.payload.size() >= 32) verified_.insert(DigestAt(record.payload));
  if (record.payload.size() < kHeaderBytes) return;
  const Digest key = DigestAt(record.payload);
  const Indexed indexed = {record.offset, NumberAt<uint64_t>(record.payload, 40)};
  if (record.type == kAction) entries_.try_emplace(key, indexed);
  if (record.type == kSegment) segments_[key].push_back(indexed);
}

void ActionCache::Forget() {
  entries_.clear();
  segments_.clear();
  synced_until_ = 0;
}

absl::Status ActionCache::Refresh() {
  std::lock_guard lock(mutex_);
  return log_->Refresh([this](const RecordLog::Record& record) { Visit(record); }, [this] { Forget(); });
}

std::string ActionCache::Framed(const Digest& key, absl::string_view payload) const {
  std::string framed(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size());
  const int64_t now = absl::ToUnixMicros(absl::Now());
  framed.append(reinterpret_cast<const char*>(&now), sizeof(now));
  framed.append(reinterpret_cast<const char*>(&boot_), sizeof(boot_));
  framed.append(payload.data(), payload.size());
  return framed;
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
    doubtful = unverified_.contains(tree);
  }
  if (!doubtful) return cas_.HasTree(tree);
  if (!cas_.VerifyTree(tree, /*threads=*/2).ok()) return false;
  std::lock_guard lock(mutex_);
  unverified_.erase(tree);
  verified_.insert(tree);
  RecordLog::Batch batch;
  batch.Add(kVerified, {reinterpret_cast<const char*>(tree.bytes.data()), tree.bytes.size()});
  log_->Append(batch).IgnoreError();
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
  bool doubtful = false;  // it may not have reached the disk before the machine went down
  const auto find = [&]() -> absl::optional<Indexed> {
    std::shared_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) return absl::nullopt;
    doubtful = found->second.boot != boot_ && found->second.offset >= synced_until_;
    return found->second;
  };
  FoundEntry result;
  absl::optional<Indexed> indexed = find();
  if (!indexed.has_value()) {
    RETURN_IF_ERROR(Refresh());
    indexed = find();
    if (!indexed.has_value()) return result;
  }
  const absl::Status parsed = ParseEntry(indexed->offset, options.with_key, result.entry);
  if (absl::IsDataLoss(parsed)) return FoundEntry{};
  RETURN_IF_ERROR(parsed);
  result.state = EntryState::kComplete;
  if (!options.check_bytes) return result;
  for (const OutputTree& output : result.entry.output()) {
    ASSIGN_OR_RETURN(const Digest tree, Digest::Parse(output.digest()));
    if (doubtful) {
      std::lock_guard lock(mutex_);
      if (!verified_.contains(tree)) unverified_.insert(tree);
    }
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
  const std::string framed = Framed(key, payload);
  bool there = false;
  {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(log_->Update([this](const RecordLog::Record& record) { Visit(record); },
                                 [&] {
                                   RecordLog::Batch batch;
                                   there = entries_.contains(key);
                                   if (!there) batch.Add(kAction, framed);
                                   return batch;
                                 },
                                 [this] { Forget(); })
                        .status());
    needs_sync_ = true;
  }
  if (!there) return absl::OkStatus();
  ASSIGN_OR_RETURN(const FoundEntry first, Lookup(key, {.check_bytes = false, .with_key = false}));
  if (first.state == EntryState::kAbsent || Outputs(first.entry) == Outputs(entry)) return absl::OkStatus();
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
  std::vector<Indexed> indexed;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = segments_.find(chain_key); found != segments_.end()) indexed = found->second;
  }
  std::vector<SegmentEntry> segments;
  for (const Indexed& at : indexed) {
    SegmentEntry segment;
    if (!Parse(at.offset, segment).ok()) continue;
    const absl::StatusOr<Digest> state = Digest::Parse(segment.state().digest());
    if (!state.ok()) continue;
    std::lock_guard lock(mutex_);
    if (at.boot != boot_ && at.offset >= synced_until_ && !verified_.contains(*state)) unverified_.insert(*state);
    segments.push_back(std::move(segment));
  }
  return segments;
}

absl::Status ActionCache::PutSegment(const Digest& chain_key, const SegmentEntry& segment, absl::string_view stage) {
  ASSIGN_OR_RETURN(const std::vector<SegmentEntry> recorded, Segments(chain_key));
  for (const SegmentEntry& other : recorded) {
    if (other.parent() != segment.parent() || other.first() != segment.first() || other.last() != segment.last() ||
        other.steps_digest() != segment.steps_digest() || !HaveSameData(other, segment))
      continue;
    if (other.state().digest() == segment.state().digest() &&
        Outputs(other.completed()) == Outputs(segment.completed()))
      return absl::OkStatus();
    return DifferentResult(stage, absl::StrCat("state after step ", segment.last()), other.state().digest(),
                           segment.state().digest());
  }
  RecordLog::Batch batch;
  batch.Add(kSegment, Framed(chain_key, segment.SerializeAsString()));
  std::lock_guard lock(mutex_);
  needs_sync_ = true;
  return log_
      ->Update([this](const RecordLog::Record& record) { Visit(record); }, [&] { return batch; }, [this] { Forget(); })
      .status();
}

absl::Status ActionCache::Sync() {
  const int fd = ::open(log_->path().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", log_->path());
  const int64_t before = log_->size_bytes();
  const int error = ::syncfs(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (error != 0) return ErrnoError(error, "sync", cas_.folder());
  std::lock_guard lock(mutex_);
  needs_sync_ = false;
  RecordLog::Batch batch;
  batch.Add(kSynced, {reinterpret_cast<const char*>(&before), sizeof(before)});
  return log_
      ->Update([this](const RecordLog::Record& record) { Visit(record); }, [&] { return batch; }, [this] { Forget(); })
      .status();
}

absl::StatusOr<std::vector<ActionCache::Item>> ActionCache::ListItems() {
  RETURN_IF_ERROR(Refresh());
  std::vector<std::pair<bool, Indexed>> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, at] : entries_) all.emplace_back(false, at);
    for (const auto& [key, list] : segments_) {
      for (const Indexed& at : list) all.emplace_back(true, at);
    }
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second.offset < b.second.offset; });
  std::vector<Item> items;
  for (const auto& [is_segment, at] : all) {
    Item item;
    item.is_segment = is_segment;
    RETURN_IF_ERROR(log_->View(at.offset, [&](const RecordLog::Record& record) {
      item.key = DigestAt(record.payload);
      item.created_unix_micros = NumberAt<int64_t>(record.payload, 32);
    }));
    const auto add_tree = [&](const OutputTree& output) {
      if (const absl::StatusOr<Digest> tree = Digest::Parse(output.digest()); tree.ok()) item.trees.push_back(*tree);
    };
    if (is_segment) {
      if (!Parse(at.offset, item.segment).ok()) continue;
      item.segment.clear_curve();
      add_tree(item.segment.state());
      for (const OutputTree& output : item.segment.completed().output()) add_tree(output);
    } else {
      ActionEntry entry;
      if (!ParseEntry(at.offset, /*with_key=*/false, entry).ok()) continue;
      for (const OutputTree& output : entry.output()) add_tree(output);
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace millrace
