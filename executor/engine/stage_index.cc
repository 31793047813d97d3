// A record is a key (32 bytes) and "stage kind".
#include "executor/engine/stage_index.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr uint32_t kKey = 1;
constexpr size_t kMaxKeys = 8;

}  // namespace

absl::StatusOr<std::unique_ptr<StageIndex>> StageIndex::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<RecordLog> log, RecordLog::Open(path));
  std::unique_ptr<StageIndex> index(new StageIndex(std::move(log)));
  constexpr int64_t kTypicalRecordBytes = 80;
  index->keys_.reserve(index->log_->size_bytes() / kTypicalRecordBytes);
  RETURN_IF_ERROR(index->log_->Refresh([&](const RecordLog::Record& record) {
    Digest key;
    if (record.payload.size() <= key.bytes.size()) return;
    std::memcpy(key.bytes.data(), record.payload.data(), key.bytes.size());
    index->Insert(record.payload.substr(key.bytes.size()), key);
  }));
  return index;
}

void StageIndex::Insert(absl::string_view name, const Digest& key) {
  absl::InlinedVector<Digest, 1>& keys = keys_[name];
  keys.erase(std::remove(keys.begin(), keys.end(), key), keys.end());
  keys.insert(keys.begin(), key);
  if (keys.size() > kMaxKeys) keys.pop_back();
}

std::vector<Digest> StageIndex::KeysOf(const std::string& stage, const std::string& kind) const {
  const auto found = keys_.find(absl::StrCat(stage, " ", kind));
  if (found == keys_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

void StageIndex::Add(const std::string& stage, const std::string& kind, const Digest& key) {
  const std::string name = absl::StrCat(stage, " ", kind);
  if (const auto found = keys_.find(name); found != keys_.end() && found->second.front() == key) return;
  Insert(name, key);
  unwritten_.Add(
      kKey, absl::StrCat(absl::string_view(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size()), name));
}

absl::Status StageIndex::Flush() {
  if (unwritten_.empty()) return absl::OkStatus();
  RecordLog::Batch batch;
  std::swap(batch, unwritten_);
  return log_->Append(batch);
}

}  // namespace millrace
