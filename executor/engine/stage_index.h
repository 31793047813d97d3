// Which keys the stages of a pipeline had in earlier runs: what "learning_rate changed: 0.002 -> 0.003" compares with.
#ifndef MILLRACE_EXECUTOR_ENGINE_STAGE_INDEX_H_
#define MILLRACE_EXECUTOR_ENGINE_STAGE_INDEX_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cas/digest.h"
#include "executor/cas/record_log.h"

namespace millrace {

// Not thread-safe.
class StageIndex {
 public:
  // `path`: a record log, created if absent.
  static absl::StatusOr<std::unique_ptr<StageIndex>> Open(const std::string& path);

  // The last keys of the stage with this name and kind, latest first; at most eight.
  std::vector<Digest> KeysOf(const std::string& stage, const std::string& kind) const;
  // Notes a key, unless it is the stage's latest already. Written by Flush().
  void Add(const std::string& stage, const std::string& kind, const Digest& key);
  absl::Status Flush();

 private:
  explicit StageIndex(std::unique_ptr<RecordLog> log) : log_(std::move(log)) {}
  void Insert(absl::string_view name, const Digest& key);

  std::unique_ptr<RecordLog> log_;
  absl::flat_hash_map<std::string, absl::InlinedVector<Digest, 1>> keys_;  // by "stage kind"; most have one
  RecordLog::Batch unwritten_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_STAGE_INDEX_H_
