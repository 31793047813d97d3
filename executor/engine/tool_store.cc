#include "executor/engine/tool_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/cas/cas.h"

namespace millrace {

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

absl::StatusOr<ToolStore::Installed> ToolStore::Install(const std::string& name) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Known* const known, Load(name));
  ASSIGN_OR_RETURN(const Tool* tool, Find(name));
  const std::string root = JoinPath(folder_, known->digest.Hex());
  const Installed installed = {root, JoinPath(root, tool->executable)};
  if (known->installed || IsDirectory(root)) {
    known->installed = true;
    return installed;
  }
  RETURN_IF_ERROR(CreateDirectories(JoinPath(folder_, "files")));
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
  if (const absl::Status renamed = RenameFile(aside, root); !renamed.ok()) {
    RemoveTree(aside).IgnoreError();
    if (!IsDirectory(root)) return renamed;  // else another run was quicker
  }
  known->installed = true;
  return installed;
}

}  // namespace millrace
