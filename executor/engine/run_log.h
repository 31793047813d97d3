// The event log of a run, <home>/runs/<id>/events.log: RunEvents in a record log (executor/cas/record_log.h). Whoever
// shows a run reads it, while the run goes on or afterwards. A torn end is left out.
#ifndef MILLRACE_EXECUTOR_ENGINE_RUN_LOG_H_
#define MILLRACE_EXECUTOR_ENGINE_RUN_LOG_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "executor/cas/record_log.h"
#include "executor/engine/run_event.pb.h"

namespace millrace {

// Thread-safe.
class RunLogWriter {
 public:
  // `run_folder` is created if absent.
  static absl::StatusOr<std::unique_ptr<RunLogWriter>> Create(const std::string& run_folder);
  // One write() for all of them.
  absl::Status Append(const std::vector<RunEvent>& events);

 private:
  explicit RunLogWriter(std::unique_ptr<RecordLog> log) : log_(std::move(log)) {}
  std::unique_ptr<RecordLog> log_;
};

// Thread-safe.
class RunLogReader {
 public:
  // NotFound: there is no log in this folder.
  static absl::StatusOr<std::unique_ptr<RunLogReader>> Open(const std::string& run_folder);
  // Calls `sink` for each event that has come since the last call; does not wait.
  absl::Status Read(const std::function<void(const RunEvent&)>& sink);

 private:
  explicit RunLogReader(std::unique_ptr<RecordLog> log) : log_(std::move(log)) {}
  std::unique_ptr<RecordLog> log_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_RUN_LOG_H_
