// Programs as they are run: copied to <home>/tools/<digest>/ before they run, so that a build in the middle of a run
// puts no new code under an old key.
//
// A tool's identity is the digest of the tree of its files under their logical paths, with content and exec bit. A file
// that several tools have (a library) is there once: <home>/tools/files/ holds them, by digest, and folders hold hard
// links. A folder's modification time is when a run last installed or used the tool.
//
// Nothing is synced: a library is some hundred megabytes. <home>/tools/boot holds the id of the boot in which all files
// were written or read; in another one they are all read and checked before the first is used. If one is damaged, all
// tools are copied anew.
#ifndef MILLRACE_EXECUTOR_ENGINE_TOOL_STORE_H_
#define MILLRACE_EXECUTOR_ENGINE_TOOL_STORE_H_

#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "executor/cas/digest.h"
#include "executor/cas/file_memo.h"
#include "executor/cas/tree.h"
#include "executor/graph/tool_manifest.h"

namespace millrace {

// Thread-safe.
class ToolStore {
 public:
  // `manifest` and `memo` outlive it; `manifest` may be null: there are no tools.  `boot_id`: as for ActionCache.
  ToolStore(std::string folder, const ToolManifest* manifest, FileMemo* memo, std::string boot_id, int threads)
      : folder_(std::move(folder)), manifest_(manifest), memo_(memo), boot_id_(std::move(boot_id)), threads_(threads) {}

  // FailedPrecondition: the manifest has no such tool, or one of its files is missing.
  absl::StatusOr<Digest> DigestOf(const std::string& name);

  struct Installed {
    std::string root;        // the folder that stands for the runfiles root
    std::string executable;  // absolute path
  };
  // Copies the tool unless it is there, and notes that it is used. Under a Cas::Hold, so that it is not collected.
  // Aborted: its files changed since DigestOf().
  absl::StatusOr<Installed> Install(const std::string& name);
  // The files of a tool below its root, once its digest has been asked for; else null. Valid as long as this object.
  const Tree* TreeOf(const std::string& name);

  // Removes the tools that were last used before `before`, what killed installations left, and files that no tool has.
  // Under Cas::LockExclusively(), so that nobody installs. Returns how many tools.
  absl::StatusOr<int> RemoveUnused(absl::Time before, bool dry_run);

 private:
  struct Known {
    Digest digest;
    Tree tree;
  };
  absl::StatusOr<const Tool*> Find(const std::string& name) const;
  absl::StatusOr<Known*> Load(const std::string& name);
  absl::Status CheckOncePerBoot();
  absl::Status CopyFile(const ToolFile& source, const TreeFile& file, const std::string& to);

  const std::string folder_;
  const ToolManifest* const manifest_;
  FileMemo* const memo_;
  const std::string boot_id_;
  const int threads_;
  std::mutex mutex_;
  bool checked_ = false;
  std::map<std::string, Known> known_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_TOOL_STORE_H_
