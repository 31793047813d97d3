// The part of Cas that removes: which blobs there are, and away with those that nothing names.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status_macros.h"
#include "executor/cas/cas.h"

namespace millrace {
namespace {

constexpr uint32_t kSmallBlob = 1;

// Calls `use` with the name, path and allocated bytes of each file of `folder`.
void ForEachFile(const std::string& folder,
                 const std::function<void(const std::string& name, const std::string& path, const struct stat&)>& use) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    const std::string path = JoinPath(folder, name);
    struct stat s;
    if (name != "." && name != ".." && ::lstat(path.c_str(), &s) == 0) use(name, path, s);
  }
  ::closedir(dir);
}

}  // namespace

absl::StatusOr<int64_t> Cas::TotalBytes() {
  int64_t total_bytes = small_log_->size_bytes();
  ForEachFile(JoinPath(folder_, "blobs"), [&](const std::string&, const std::string& path, const struct stat& s) {
    if (!S_ISDIR(s.st_mode)) return;
    ForEachFile(path,
                [&](const std::string&, const std::string&, const struct stat& file) { total_bytes += file.st_size; });
  });
  return total_bytes;
}

absl::StatusOr<int64_t> Cas::Sweep(const absl::flat_hash_set<Digest>& live, bool dry_run) {
  int64_t freed_bytes = 0;
  const auto remove = [&](const std::string& path, const struct stat& s) {
    if (dry_run || ::unlink(path.c_str()) == 0) freed_bytes += s.st_size;
  };
  ForEachFile(JoinPath(folder_, "blobs"), [&](const std::string&, const std::string& path, const struct stat& s) {
    if (!S_ISDIR(s.st_mode)) return;
    ForEachFile(path, [&](const std::string& name, const std::string& blob, const struct stat& file) {
      const absl::StatusOr<Digest> digest = Digest::ParseHex(name);
      if (digest.ok() && !live.contains(*digest)) remove(blob, file);
    });
  });
  // Who publishes holds the lock: what is here was left by a process that was killed.
  ForEachFile(JoinPath(folder_, "tmp"), [&](const std::string&, const std::string& path, const struct stat& s) {
    if (S_ISREG(s.st_mode)) remove(path, s);
  });
  RETURN_IF_ERROR(RefreshSmall());
  std::lock_guard lock(mutex_);
  RecordLog::Batch kept;
  for (const auto& [digest, small] : small_) {
    if (!live.contains(digest)) continue;
    RETURN_IF_ERROR(
        small_log_->View(small.offset, [&](const RecordLog::Record& r) { kept.Add(kSmallBlob, r.payload); }));
  }
  const int64_t dead_bytes = small_log_->size_bytes() - static_cast<int64_t>(kept.bytes().size()) - 16;
  if (dead_bytes <= 0) return freed_bytes;
  if (!dry_run) {
    RETURN_IF_ERROR(small_log_->Replace(kept));
    small_.clear();
    RETURN_IF_ERROR(small_log_->Refresh([this](const RecordLog::Record& record) { Visit(record); }));
  }
  return freed_bytes + dead_bytes;
}

}  // namespace millrace
