#include "executor/engine/tool_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/cas/cas.h"
#include "executor/engine/home.h"

namespace millrace {
namespace {

// By the clock that leases are dated with; the file system's is coarser. False: there is no such folder.
bool NoteUse(const std::string& folder) {
  const struct timespec now[2] = {{0, UTIME_OMIT}, absl::ToTimespec(absl::Now())};
  return ::utimensat(AT_FDCWD, folder.c_str(), now, 0) == 0;
}

}  // namespace

absl::StatusOr<const Tool*> ToolStore::Find(const std::string& name) const {
  if (manifest_ != nullptr) {
    if (const auto found = manifest_->tools.find(name); found != manifest_->tools.end()) return &found->second;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "no program for \"", name,
      "\"\n  why: the pipeline target brings no such tool\n  fix: add it to `tools` of the pipeline's rule, "
      "and start it with `bazel run`"));
}

absl::StatusOr<ToolStore::Known*> ToolStore::Load(const std::string& name) {
  if (const auto found = known_.find(name); found != known_.end()) return &found->second;
  ASSIGN_OR_RETURN(const Tool* tool, Find(name));
  Known known;
  known.tree.files.resize(tool->files.size());
  std::vector<absl::Status> status(tool->files.size());
  ParallelFor(threads_, tool->files.size(), [&](int64_t i) {
    const ToolFile& source = tool->files[i];
    const absl::StatusOr<HashedFile> hashed = memo_->DigestOf(source.absolute_path);
    struct stat s;
    status[i] = hashed.status();
    if (!hashed.ok()) return;
    if (::stat(source.absolute_path.c_str(), &s) != 0) {
      status[i] = ErrnoError(errno, "stat", source.absolute_path);
      return;
    }
    known.tree.files[i] = {source.logical_path, hashed->digest, hashed->stamp.size_bytes, (s.st_mode & 0100) != 0};
  });
  for (const absl::Status& s : status) {
    if (s.ok()) continue;
    if (absl::IsCancelled(s)) return s;
    return absl::FailedPreconditionError(
        absl::StrCat("program \"", name, "\": ", s.message(), "\n  fix: build it again (bazel run does)"));
  }
  known.digest = Digest::Of(known.tree.Canonical());
  return &(known_[name] = std::move(known));
}

absl::StatusOr<Digest> ToolStore::DigestOf(const std::string& name) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const Known* known, Load(name));
  return known->digest;
}

// Files are named by their digests, so that all can be checked without their tools' manifests.
absl::Status ToolStore::CheckOncePerBoot() {
  if (checked_) return absl::OkStatus();
  RETURN_IF_ERROR(CreateDirectories(JoinPath(folder_, "files")));
  const std::string path = JoinPath(folder_, "boot");
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoError(errno, "open", path);
  const auto close = absl::MakeCleanup([&] { ::close(fd); });
  while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {
  }
  ASSIGN_OR_RETURN(const std::string checked_in, ReadFile(path));
  checked_ = checked_in == boot_id_;
  if (checked_) return absl::OkStatus();
  const std::vector<std::string> names = FolderNames(JoinPath(folder_, "files"));
  std::atomic<bool> damaged = false;
  ParallelFor(threads_, names.size(), [&](int64_t i) {
    const absl::StatusOr<HashedFile> hashed = HashFile(absl::StrCat(folder_, "/files/", names[i]));
    if (!hashed.ok() || hashed->digest.Hex() != absl::StripSuffix(names[i], ".x")) damaged = true;
  });
  if (damaged) {
    for (const std::string& name : FolderNames(folder_)) {
      if (name != "boot") RETURN_IF_ERROR(RemoveTree(JoinPath(folder_, name)));
    }
    RETURN_IF_ERROR(CreateDirectories(JoinPath(folder_, "files")));
  }
  RETURN_IF_ERROR(WriteFile(path, boot_id_));
  checked_ = true;
  return absl::OkStatus();
}

// Puts the file into files/ unless it is there, and links it to `to`.
absl::Status ToolStore::CopyFile(const ToolFile& source, const TreeFile& file, const std::string& to) {
  const std::string shared = absl::StrCat(folder_, "/files/", file.digest.Hex(), file.executable ? ".x" : "");
  RETURN_IF_ERROR(CreateDirectories(to.substr(0, to.rfind('/'))));
  if (::link(shared.c_str(), to.c_str()) == 0) return absl::OkStatus();
  const std::string aside = absl::StrCat(to, ".copy");
  RETURN_IF_ERROR(CloneFile(source.absolute_path, aside, file.executable));
  ASSIGN_OR_RETURN(const HashedFile copied, HashFile(aside));
  if (copied.digest != file.digest) {
    return absl::AbortedError(absl::StrCat(source.absolute_path,
                                           " changed since its digest was taken\n  why: a build is going on"
                                           "\n  fix: run again when it is done"));
  }
  if (::chmod(aside.c_str(), file.executable ? 0555 : 0444) != 0) return ErrnoError(errno, "make read-only", aside);
  if (::link(aside.c_str(), shared.c_str()) != 0 && errno != EEXIST && errno != EMLINK)
    return ErrnoError(errno, "link", shared);
  return RenameFile(aside, to);
}

const Tree* ToolStore::TreeOf(const std::string& name) {
  std::lock_guard lock(mutex_);
  const auto it = known_.find(name);
  return it == known_.end() ? nullptr : &it->second.tree;
}

absl::StatusOr<ToolStore::Installed> ToolStore::Install(const std::string& name) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const Known* known, Load(name));
  ASSIGN_OR_RETURN(const Tool* tool, Find(name));
  const std::string root = JoinPath(folder_, known->digest.Hex());
  const Installed installed = {root, JoinPath(root, tool->executable)};
  RETURN_IF_ERROR(CheckOncePerBoot());
  if (NoteUse(root)) return installed;
  const std::string aside = absl::StrCat(root, ".", ::getpid(), ".tmp");
  RETURN_IF_ERROR(RemoveTree(aside));
  std::vector<absl::Status> status(tool->files.size());
  ParallelFor(threads_, tool->files.size(), [&](int64_t i) {
    status[i] = CopyFile(tool->files[i], known->tree.files[i], JoinPath(aside, tool->files[i].logical_path));
  });
  for (const absl::Status& s : status) {
    if (s.ok()) continue;
    RemoveTree(aside).IgnoreError();
    return Annotate(s, absl::StrCat("program \"", name, "\""));
  }
  NoteUse(aside);
  if (const absl::Status renamed = RenameFile(aside, root); !renamed.ok()) {
    RemoveTree(aside).IgnoreError();
    if (!IsDirectory(root)) return renamed;  // else another run was quicker
  }
  return installed;
}

absl::StatusOr<int> ToolStore::RemoveUnused(absl::Time before, bool dry_run) {
  int removed = 0;
  for (const std::string& name : FolderNames(folder_)) {
    const std::string path = JoinPath(folder_, name);
    struct stat s;
    if (::stat(path.c_str(), &s) != 0) continue;
    const bool is_tool = Digest::ParseHex(name).ok();
    if (is_tool ? absl::TimeFromTimespec(s.st_mtim) >= before : !absl::EndsWith(name, ".tmp")) continue;
    removed += is_tool;
    if (!dry_run) RETURN_IF_ERROR(RemoveTree(path));
  }
  if (dry_run) return removed;
  for (const std::string& name : FolderNames(JoinPath(folder_, "files"))) {
    const std::string path = absl::StrCat(folder_, "/files/", name);
    struct stat s;
    if (::stat(path.c_str(), &s) == 0 && s.st_nlink == 1) ::unlink(path.c_str());
  }
  return removed;
}

}  // namespace millrace
