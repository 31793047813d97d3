#include "executor/engine/work_folders.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

// Written anew for each stage, over the old content (executor/backends/overwrite.h).
constexpr absl::string_view kKept[] = {"request.json", "gang.json"};
constexpr int64_t kSmallBytes = 64 << 10;
constexpr int64_t kMaxDiscarded = 100'000;

absl::Status MakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) return absl::OkStatus();
  if (errno == ENOENT) return CreateDirectories(path);
  return ErrnoError(errno, "create folder", path);
}

absl::Status ForEachEntry(
    const std::string& folder,
    const std::function<absl::Status(absl::string_view name, const std::string& path, const struct stat& s)>& use) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return ErrnoError(errno, "open", folder);
  absl::Status status;
  while (status.ok()) {
    const dirent* entry = ::readdir(dir);
    if (entry == nullptr) break;
    const absl::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = absl::StrCat(folder, "/", name);
    struct stat s;
    status = ::lstat(path.c_str(), &s) == 0 ? use(name, path, s) : ErrnoError(errno, "stat", path);
  }
  ::closedir(dir);
  return status;
}

}  // namespace

WorkFolders::~WorkFolders() { RemoveTree(folder_).IgnoreError(); }

absl::Status WorkFolders::Discard(const std::string& path, const struct stat& s) {
  if (S_ISREG(s.st_mode) && s.st_size <= kSmallBytes) {
    int64_t number;
    {
      std::lock_guard lock(mutex_);
      number = num_discarded_++;
    }
    if (number < kMaxDiscarded && ::rename(path.c_str(), absl::StrCat(folder_, "/discarded/", number).c_str()) == 0)
      return absl::OkStatus();
  }
  if (!S_ISDIR(s.st_mode)) {
    return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoError(errno, "remove", path);
  }
  return RemoveTree(path);
}

absl::Status WorkFolders::Empty(const std::string& folder) {
  return ForEachEntry(
      folder, [this](absl::string_view, const std::string& path, const struct stat& s) { return Discard(path, s); });
}

absl::Status WorkFolders::Scrub(const std::string& folder, const std::set<std::string>& output_names) {
  RETURN_IF_ERROR(ForEachEntry(folder, [&](absl::string_view name, const std::string& path, const struct stat& s) {
    if (S_ISDIR(s.st_mode) && (name == "in" || name == "out")) return absl::OkStatus();
    for (const absl::string_view kept : kKept) {
      if (name == kept) return absl::OkStatus();
    }
    // A log that nothing was written to. Others have a second name in the run's folder.
    if (name == "log.0" && S_ISREG(s.st_mode) && s.st_size == 0 && s.st_nlink == 1) return absl::OkStatus();
    return Discard(path, s);
  }));
  RETURN_IF_ERROR(Empty(folder + "/in"));
  return ForEachEntry(folder + "/out", [&](absl::string_view name, const std::string& path, const struct stat& s) {
    if (S_ISDIR(s.st_mode) && output_names.contains(std::string(name))) return Empty(path);
    return Discard(path, s);
  });
}

absl::StatusOr<std::string> WorkFolders::Take(const std::vector<std::string>& output_names) {
  int number;
  bool used = false;
  {
    std::lock_guard lock(mutex_);
    used = !free_.empty();
    number = used ? *free_.begin() : num_made_++;
    if (used) free_.erase(free_.begin());
  }
  const std::string folder = absl::StrCat(folder_, "/", number);
  if (used) used = Scrub(folder, {output_names.begin(), output_names.end()}).ok();
  if (!used) {
    // The stage before was unkind to it, or there is none yet.
    RETURN_IF_ERROR(RemoveTree(folder));
    RETURN_IF_ERROR(MakeFolder(folder_ + "/discarded"));
    for (const char* name : {"", "/in", "/out"}) RETURN_IF_ERROR(MakeFolder(folder + name));
  }
  for (const std::string& name : output_names) RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/out/", name)));
  return folder;
}

void WorkFolders::GiveBack(const std::string& folder) {
  int number;
  if (!absl::SimpleAtoi(BaseName(folder), &number)) return;
  std::lock_guard lock(mutex_);
  free_.insert(number);
}

}  // namespace millrace
