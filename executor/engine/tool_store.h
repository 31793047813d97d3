// Programs as they are run: copied to <home>/tools/<digest>/ before they run, so that a build in the middle of a run
// puts no new code under an old key.
//
// A tool's identity is the digest of the tree of its files under their logical paths, with content and exec bit. A file
// that several tools have (a library) is there once: <home>/tools/files/ holds them, folders hold hard links.
#ifndef MILLRACE_EXECUTOR_ENGINE_TOOL_STORE_H_
#define MILLRACE_EXECUTOR_ENGINE_TOOL_STORE_H_

#include <map>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "executor/cas/digest.h"
#include "executor/cas/file_memo.h"
#include "executor/cas/tree.h"
#include "executor/graph/tool_manifest.h"

namespace millrace {

// Thread-safe.
class ToolStore {
 public:
  // `manifest` and `memo` outlive it; `manifest` may be null: there are no tools.
  ToolStore(std::string folder, const ToolManifest* manifest, FileMemo* memo, int threads)
      : folder_(std::move(folder)), manifest_(manifest), memo_(memo), threads_(threads) {}

  // FailedPrecondition: the manifest has no such tool, or one of its files is missing.
  absl::StatusOr<Digest> DigestOf(const std::string& name);

  struct Installed {
    std::string root;        // the folder that stands for the runfiles root
    std::string executable;  // absolute path
  };
  // Copies the tool unless it is there. Aborted: its files changed since DigestOf().
  absl::StatusOr<Installed> Install(const std::string& name);

 private:
  struct Known {
    Digest digest;
    Tree tree;
    bool installed = false;
  };
  absl::StatusOr<const Tool*> Find(const std::string& name) const;
  absl::StatusOr<Known*> Load(const std::string& name);
  absl::Status CopyFile(const ToolFile& source, const TreeFile& file, const std::string& to);

  const std::string folder_;
  const ToolManifest* const manifest_;
  FileMemo* const memo_;
  const int threads_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_TOOL_STORE_H_
