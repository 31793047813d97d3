// Follows a file of events, one line of JSON each, while a stage appends to it.
#ifndef MILLRACE_EXECUTOR_BACKENDS_EVENTS_FILE_H_
#define MILLRACE_EXECUTOR_BACKENDS_EVENTS_FILE_H_

#include <functional>
#include <string>

#include "pipelines/protocol/stage.pb.h"

namespace millrace {

// Not thread-safe. The file need not exist yet. A line that is longer than 4 KiB or is not a StageEvent is passed on as
// a warning, the first ten times; what follows it is read on.
class EventsFile {
 public:
  explicit EventsFile(std::string path) : path_(std::move(path)) {}
  ~EventsFile();
  EventsFile(EventsFile&& other) noexcept;
  EventsFile& operator=(EventsFile&&) = delete;

  // Passes on whole lines that have come since the last call. `last`: a line without an end is one, too.
  void Read(const std::function<void(const StageEvent&)>& sink, bool last = false);

 private:
  void Line(const std::string& line, const std::function<void(const StageEvent&)>& sink);

  std::string path_;
  int fd_ = -1;
  std::string partial_;
  int num_bad_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_EVENTS_FILE_H_
