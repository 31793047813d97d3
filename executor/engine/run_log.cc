#include "executor/engine/run_log.h"

#include <cstdint>

#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr uint32_t kRunEvent = 1;

std::string LogPath(const std::string& run_folder) { return JoinPath(run_folder, "events.log"); }

}  // namespace

absl::StatusOr<std::unique_ptr<RunLogWriter>> RunLogWriter::Create(const std::string& run_folder) {
  ASSIGN_OR_RETURN(std::unique_ptr<RecordLog> log, RecordLog::Open(LogPath(run_folder)));
  return std::unique_ptr<RunLogWriter>(new RunLogWriter(std::move(log)));
}

absl::Status RunLogWriter::Append(const std::vector<RunEvent>& events) {
  RecordLog::Batch batch;
  for (const RunEvent& event : events) {
    batch.Add(kRunEvent, event.ByteSizeLong(),
              [&](char* to) { event.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(to)); });
  }
  return log_->Append(batch);
}

absl::StatusOr<std::unique_ptr<RunLogReader>> RunLogReader::Open(const std::string& run_folder) {
  ASSIGN_OR_RETURN(std::unique_ptr<RecordLog> log, RecordLog::OpenForReading(LogPath(run_folder)));
  return std::unique_ptr<RunLogReader>(new RunLogReader(std::move(log)));
}

absl::Status RunLogReader::Read(const std::function<void(const RunEvent&)>& sink) {
  return log_->Refresh([&](const RecordLog::Record& record) {
    RunEvent event;
    if (record.type == kRunEvent && event.ParseFromArray(record.payload.data(), record.payload.size())) sink(event);
  });
}

}  // namespace millrace
