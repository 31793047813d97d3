#include "executor/backends/events_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"

namespace millrace {
namespace {

constexpr size_t kMaxLine = 4096;
constexpr int kMaxWarnings = 10;

}  // namespace

EventsFile::EventsFile(EventsFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      partial_(std::move(other.partial_)),
      num_bad_(other.num_bad_) {}

EventsFile::~EventsFile() {
  if (fd_ >= 0) ::close(fd_);
}

void EventsFile::Line(const std::string& line, const std::function<void(const StageEvent&)>& sink) {
  if (line.empty()) return;
  StageEvent event;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (line.size() <= kMaxLine && google::protobuf::util::JsonStringToMessage(line, &event, options).ok()) {
    if (event.what_case() != StageEvent::WHAT_NOT_SET) sink(event);
    return;
  }
  if (++num_bad_ > kMaxWarnings) return;
  event.Clear();
  event.set_warning(absl::StrCat("a line of the events file is not an event (JSON of at most 4 KiB): ",
                                 line.size() > 120 ? absl::StrCat(line.substr(0, 120), "...") : line));
  sink(event);
}

void EventsFile::Read(const std::function<void(const StageEvent&)>& sink, bool last) {
  if (fd_ < 0) fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return;
  char buffer[1 << 15];
  while (true) {
    const ssize_t n = ::read(fd_, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    const char* begin = buffer;
    for (const char* p = buffer; p < buffer + n; ++p) {
      if (*p != '\n') continue;
      if (partial_.size() <= kMaxLine) partial_.append(begin, p);
      Line(partial_, sink);
      partial_.clear();
      begin = p + 1;
    }
    if (partial_.size() <= kMaxLine) partial_.append(begin, static_cast<const char*>(buffer + n));
  }
  if (last && !partial_.empty()) Line(std::exchange(partial_, ""), sink);
}

}  // namespace millrace
