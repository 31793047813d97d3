// Events are appended with one write() each, so that several ranks may share a file. JSON is Protobuf's own mapping:
// a Python or shell tool reads the same request.
#include "pipelines/protocol/stage.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "google/protobuf/util/json_util.h"

namespace millrace {
namespace {

constexpr size_t kMaxEventBytes = 4096;
constexpr size_t kMaxTextBytes = 1500;  // JSON may write a byte as six
constexpr absl::string_view kGateFailedUrl = "millrace/gate_failed";

volatile sig_atomic_t interrupted = 0;

// At most `limit` bytes, cut between characters.
std::string Shortened(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return std::string(text);
  while (limit > 0 && (text[limit] & 0xC0) == 0x80) --limit;
  return absl::StrCat(text.substr(0, limit), "…");
}

absl::Status FromJson(const std::string& path, google::protobuf::Message& message) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message, options);
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::string(status.message())));
  return absl::OkStatus();
}

int ExitStatusOf(const absl::Status& status) {
  if (status.GetPayload(kGateFailedUrl).has_value()) return kStageGateFailed;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kStageComplete;
    case absl::StatusCode::kCancelled:
      return kStageInterrupted;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return kStageBadRequest;
    default:
      return kStageFailed;
  }
}

}  // namespace

struct Stage::Events {
  std::mutex mutex;
  absl::Time next_progress = absl::InfinitePast();
  int fd = -1;
  absl::Status opened;
  bool torn = false;  // the last line has no end
};

Stage::Stage(StageRequest request, StageGang gang, std::string events_path)
    : request_(std::move(request)), gang_(std::move(gang)), events_path_(std::move(events_path)), events_(new Events) {
  if (events_path_.empty()) return;
  events_->fd = ::open(events_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (events_->fd < 0) events_->opened = ErrnoError(errno, "open", events_path_);
}

Stage::~Stage() {
  if (events_->fd >= 0) ::close(events_->fd);
  delete events_;
}

absl::StatusOr<std::string> Stage::InputPath(absl::string_view name) const {
  for (const StageInput& input : request_.input()) {
    if (input.name() == name) return input.path();
  }
  return absl::NotFoundError(absl::StrCat("the request has no input \"", name, "\""));
}

bool Stage::HasInput(absl::string_view name) const { return InputPath(name).ok(); }

std::vector<std::string> Stage::InputPaths(absl::string_view name) const {
  std::vector<std::string> paths;
  while (true) {
    absl::StatusOr<std::string> path = InputPath(absl::StrCat(name, ".", paths.size()));
    if (!path.ok()) return paths;
    paths.push_back(*std::move(path));
  }
}

absl::StatusOr<std::string> Stage::OutputPath(absl::string_view name) const {
  for (const StageOutput& output : request_.output()) {
    if (output.name() == name) return output.path();
  }
  return absl::NotFoundError(absl::StrCat("the request has no output \"", name, "\""));
}

void Stage::ReportProgress(double done, std::optional<double> total, absl::string_view unit, absl::string_view detail) {
  {
    std::lock_guard lock(events_->mutex);
    const absl::Time now = absl::Now();
    if (now < events_->next_progress && !(total.has_value() && done >= *total)) return;
    events_->next_progress = now + absl::Milliseconds(100);
  }
  StageEvent event;
  event.mutable_progress()->set_done(done);
  if (total.has_value()) event.mutable_progress()->set_total(*total);
  event.mutable_progress()->set_unit(std::string(unit));
  if (!detail.empty()) event.mutable_progress()->set_detail(Shortened(detail, 200));
  Append(event).IgnoreError();
}

void Stage::ReportMetric(absl::string_view name, double value) {
  StageEvent event;
  event.mutable_metric()->set_name(std::string(name));
  event.mutable_metric()->set_value(value);
  Append(event).IgnoreError();
}

void Stage::ReportMetric(absl::string_view name, double value, int64_t step) {
  StageEvent event;
  event.mutable_metric()->set_name(std::string(name));
  event.mutable_metric()->set_value(value);
  event.mutable_metric()->set_step(step);
  Append(event).IgnoreError();
}

void Stage::ReportExample(absl::string_view group, absl::string_view title, absl::string_view text) {
  StageEvent event;
  event.mutable_example()->set_group(Shortened(group, 100));
  event.mutable_example()->set_title(Shortened(title, 300));
  event.mutable_example()->set_text(Shortened(text, kMaxTextBytes));
  Append(event).IgnoreError();
}

absl::Status Stage::ReportCheckpoint(absl::string_view path, int64_t step) {
  StageEvent event;
  event.mutable_checkpoint_published()->set_path(std::string(path));
  event.mutable_checkpoint_published()->set_step(step);
  return Annotate(Append(event), absl::StrCat("report the checkpoint of step ", step));
}

void Stage::ReportWarning(absl::string_view text) {
  StageEvent event;
  event.set_warning(Shortened(text, kMaxTextBytes));
  Append(event).IgnoreError();
  std::fprintf(stderr, "warning: %.*s\n", static_cast<int>(text.size()), text.data());
}

absl::Status Stage::Append(const StageEvent& event) {
  if (events_path_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(events_->opened);
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(event, &json, options).ok())
    return absl::InternalError("an event has no JSON");
  json += '\n';
  if (json.size() > kMaxEventBytes && event.has_example()) {
    StageEvent shorter = event;
    shorter.mutable_example()->set_text(Shortened(event.example().text(), event.example().text().size() / 2));
    return Append(shorter);
  }
  if (json.size() > kMaxEventBytes) return absl::InvalidArgumentError("an event is longer than 4 KiB");
  std::lock_guard lock(events_->mutex);
  if (events_->torn) json.insert(0, "\n");  // so that this one is whole
  for (absl::string_view rest = json; !rest.empty();) {
    const ssize_t n = ::write(events_->fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write", events_path_);
    rest.remove_prefix(n);
    events_->torn = !rest.empty();
  }
  return absl::OkStatus();
}

bool Stage::Interrupted() { return interrupted != 0; }

absl::Status GateFailedError(absl::string_view message) {
  absl::Status status = absl::FailedPreconditionError(message);
  status.SetPayload(kGateFailedUrl, absl::Cord("1"));
  return status;
}

int RunStage(google::protobuf::Message& parameters, const std::function<absl::Status(Stage&)>& body) {
  const char* request_path = std::getenv("MILLRACE_REQUEST");
  if (request_path == nullptr) {
    std::fprintf(
        stderr,
        "this program is the `%s` stage of a Millrace pipeline and is started by `millrace run`\n"
        "  fix: run the pipeline, or set MILLRACE_REQUEST to a StageRequest in JSON (pipelines/protocol/README.md)\n",
        std::string(parameters.GetDescriptor()->name()).c_str());
    return kStageBadRequest;
  }
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  ::sigaction(SIGTERM, &action, nullptr);

  StageRequest request;
  StageGang gang;
  absl::Status status = FromJson(request_path, request);
  if (const char* gang_path = std::getenv("MILLRACE_GANG"); status.ok() && gang_path != nullptr)
    status = FromJson(gang_path, gang);
  if (status.ok() && !request.parameters().UnpackTo(&parameters)) {
    status = absl::InvalidArgumentError(
        absl::StrCat(request_path, ": parameters are not a ", std::string(parameters.GetTypeName())));
  }
  if (status.ok()) {
    const char* events_path = std::getenv("MILLRACE_EVENTS");
    Stage stage(std::move(request), std::move(gang), events_path == nullptr ? "" : events_path);
    status = body(stage);
  }
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return ExitStatusOf(status);
}

}  // namespace millrace
