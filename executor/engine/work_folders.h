// Working folders of stages: <home>/work/<run id>/<n>, each used by one stage at a time and, scrubbed, by the next.
//
// They are used again because making and deleting is what a trivial stage costs most: ext4 searches past every inode
// that was deleted in the last five seconds before it gives out a new one. For the same reason small files that a stage
// leaves are moved aside, and deleted when the run ends.
#ifndef MILLRACE_EXECUTOR_ENGINE_WORK_FOLDERS_H_
#define MILLRACE_EXECUTOR_ENGINE_WORK_FOLDERS_H_

#include <sys/stat.h>

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// Thread-safe.
class WorkFolders {
 public:
  explicit WorkFolders(std::string folder) : folder_(std::move(folder)) {}
  // Deletes them all.
  ~WorkFolders();

  // A folder that holds empty in/ and out/<name> for each name, perhaps files named in kKept, and nothing else.
  absl::StatusOr<std::string> Take(const std::vector<std::string>& output_names);
  // No process uses it any more.
  void GiveBack(const std::string& folder);

 private:
  absl::Status Scrub(const std::string& folder, const std::set<std::string>& output_names);
  absl::Status Empty(const std::string& folder);
  absl::Status Discard(const std::string& path, const struct stat& s);

  const std::string folder_;
  std::mutex mutex_;
  std::set<int> free_;
  int num_made_ = 0;
  int64_t num_discarded_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_WORK_FOLDERS_H_
