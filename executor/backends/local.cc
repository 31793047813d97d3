#include "executor/backends/local.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/backends/events_file.h"
#include "executor/backends/free_port.h"
#include "executor/backends/overwrite.h"
#include "google/protobuf/util/json_util.h"

namespace millrace {
namespace {

constexpr absl::Duration kPollEvents = absl::Milliseconds(50);

absl::Status SupervisorGone() {
  return absl::UnavailableError(
      "the process that watches over the stages has ended\n"
      "  why: it was killed, perhaps for want of memory; the stages ended with it\n  fix: run again");
}

absl::Status SendWhole(int fd, const std::string& message, absl::string_view stage) {
  while (::send(fd, message.data(), message.size(), MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno == EMSGSIZE) {
      return absl::InvalidArgumentError(absl::StrCat("stage \"", stage, "\": its command and parameters are ",
                                                     message.size(),
                                                     " bytes, more than a process can be started with\n"
                                                     "  fix: put the long ones into a file and make it an input"));
    }
    return SupervisorGone();
  }
  return absl::OkStatus();
}

}  // namespace

class LocalGang : public Gang {
 public:
  LocalGang(LocalBackend& backend, int fd, std::vector<EventsFile> events)
      : backend_(backend), fd_(fd), events_(std::move(events)) {}

  ~LocalGang() override {
    // An unfinished gang ends with its connection.
    if (finished_) {
      backend_.GiveBack(fd_);
    } else {
      ::close(fd_);
    }
  }

  absl::StatusOr<absl::optional<GangResult>> Wait(absl::Duration wait, const EventSink& sink) override {
    const absl::Time deadline = absl::Now() + wait;
    while (true) {
      const absl::Duration left = std::min(deadline - absl::Now(), kPollEvents);
      struct pollfd polled = {fd_, POLLIN, 0};
      const int ready = ::poll(&polled, 1, std::max<int>(0, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1));
      if (ready > 0) {
        ASSIGN_OR_RETURN(absl::optional<GangResult> result, Receive());
        ReadEvents(sink, /*last=*/result.has_value());
        return result;
      }
      ReadEvents(sink, /*last=*/false);
      if (absl::Now() >= deadline) return absl::optional<GangResult>();
    }
  }

  void Cancel() override { Say(SupervisorMessage::kCancel); }
  void Kill() override { Say(SupervisorMessage::kKill); }
  int failed_rank() const override { return failed_rank_; }

 private:
  void Say(SupervisorMessage what) {
    [[maybe_unused]] const ssize_t n = ::send(fd_, &what, sizeof(what), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void ReadEvents(const EventSink& sink, bool last) {
    for (size_t rank = 0; rank < events_.size(); ++rank) {
      events_[rank].Read([&](const StageEvent& event) { sink(static_cast<int>(rank), event); }, last);
    }
  }

  // Nothing: it was the notice that a rank has failed.
  absl::StatusOr<absl::optional<GangResult>> Receive() {
    std::vector<char> buffer(1 << 16);
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    GangReply reply;
    if (n < static_cast<ssize_t>(sizeof(reply))) return SupervisorGone();
    std::memcpy(&reply, buffer.data(), sizeof(reply));
    if (reply.ranks == 0) {
      failed_rank_ = reply.first_failed_rank;
      return absl::optional<GangResult>();
    }
    size_t at = sizeof(reply);
    GangResult result;
    for (int rank = 0; rank < reply.ranks && at + sizeof(RankReply) <= static_cast<size_t>(n); ++rank) {
      RankReply from;
      std::memcpy(&from, buffer.data() + at, sizeof(from));
      at += sizeof(from);
      RankResult& to = result.rank.emplace_back();
      if (WIFEXITED(from.wait_status)) to.exit_status = WEXITSTATUS(from.wait_status);
      if (WIFSIGNALED(from.wait_status)) to.signal = WTERMSIG(from.wait_status);
      to.peak_memory_bytes = from.peak_memory_bytes;
      to.cpu_seconds = from.cpu_seconds;
    }
    result.message.assign(buffer.data() + at, n - at);
    result.first_failed_rank = reply.first_failed_rank;
    result.seconds = reply.seconds;
    result.outcome = reply.not_started != 0 ? GangResult::Outcome::kNotStarted
                     : reply.timed_out != 0 ? GangResult::Outcome::kTimedOut
                     : reply.cancelled != 0 ? GangResult::Outcome::kCancelled
                                            : GangResult::Outcome::kEnded;
    finished_ = true;
    return absl::optional<GangResult>(std::move(result));
  }

  LocalBackend& backend_;
  const int fd_;
  std::vector<EventsFile> events_;
  int failed_rank_ = -1;
  bool finished_ = false;
};

LocalBackend::~LocalBackend() {
  for (const int fd : idle_connections_) ::close(fd);
  if (supervisor_.pid == 0) return;
  ::close(supervisor_.control_fd);
  ::waitpid(supervisor_.pid, nullptr, 0);
}

absl::Status LocalBackend::Start() {
  std::lock_guard lock(mutex_);
  if (supervisor_.pid != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(supervisor_, StartSupervisor());
  return absl::OkStatus();
}

absl::StatusOr<int> LocalBackend::Connect() {
  RETURN_IF_ERROR(Start());
  std::lock_guard lock(mutex_);
  if (!idle_connections_.empty()) {
    const int fd = idle_connections_.back();
    idle_connections_.pop_back();
    return fd;
  }
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoError(errno, "make a socket for", "a gang");
  char byte = 0;
  struct iovec part = {&byte, 1};
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fds[1], sizeof(int));
  const ssize_t sent = ::sendmsg(supervisor_.control_fd, &message, MSG_NOSIGNAL);
  ::close(fds[1]);
  if (sent == 1) return fds[0];
  ::close(fds[0]);
  return SupervisorGone();
}

void LocalBackend::GiveBack(int fd) {
  std::lock_guard lock(mutex_);
  idle_connections_.push_back(fd);
}

absl::StatusOr<std::unique_ptr<Gang>> LocalBackend::Submit(const GangSpec& spec) {
  GangShare share;
  if (spec.share.has_value()) {
    share = *spec.share;
  } else {
    share.world_size = spec.ranks;
    share.master_address = "127.0.0.1";
    if (spec.torchrun_variables) {
      ASSIGN_OR_RETURN(share.master_port, FreePort(/*all_interfaces=*/false));
    }
  }
  std::vector<EventsFile> events;
  std::vector<std::string> messages;
  for (int local_rank = 0; local_rank < spec.ranks; ++local_rank) {
    const int rank = share.first_rank + local_rank;
    const std::string gang_file = rank == 0 ? "gang.json" : absl::StrCat("gang.", rank, ".json");
    const std::string events_file = absl::StrCat("events.", rank);
    StageGang gang = spec.gang;
    gang.set_rank(rank);
    gang.set_world_size(share.world_size);
    gang.set_local_rank(local_rank);
    gang.set_local_world_size(spec.ranks);
    if (spec.torchrun_variables) {
      gang.set_master_address(share.master_address);
      gang.set_master_port(share.master_port);
    }
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(gang, &json, options).ok())
      return absl::InternalError("a gang has no JSON");
    RETURN_IF_ERROR(OverwriteFile(JoinPath(spec.work_folder, gang_file), json));

    SpawnRequest request;
    request.rank = local_rank;
    request.ranks = spec.ranks;
    if (spec.time_limit != absl::InfiniteDuration())
      request.time_limit_seconds = absl::ToDoubleSeconds(spec.time_limit);
    request.grace_seconds = absl::ToDoubleSeconds(spec.grace);
    request.memory_bytes = spec.memory_bytes;
    request.work_folder = spec.work_folder;
    request.log_path = spec.log_path[local_rank];
    request.argument = spec.argument;
    request.environment = spec.environment;
    request.environment.push_back(absl::StrCat("MILLRACE_GANG=", gang_file));
    request.environment.push_back(absl::StrCat("MILLRACE_EVENTS=", events_file));
    if (spec.torchrun_variables) {
      for (const auto& [name, value] : {std::pair("MASTER_ADDR", share.master_address),
                                        {"MASTER_PORT", absl::StrCat(share.master_port)},
                                        {"RANK", absl::StrCat(rank)},
                                        {"LOCAL_RANK", absl::StrCat(local_rank)},
                                        {"WORLD_SIZE", absl::StrCat(share.world_size)},
                                        {"LOCAL_WORLD_SIZE", absl::StrCat(spec.ranks)},
                                        {"GROUP_RANK", absl::StrCat(share.node_rank)},
                                        {"NODE_RANK", absl::StrCat(share.node_rank)}}) {
        request.environment.push_back(absl::StrCat(name, "=", value));
      }
    }
    messages.push_back(request.Serialize());
    events.emplace_back(JoinPath(spec.work_folder, events_file));
  }
  ASSIGN_OR_RETURN(const int fd, Connect());
  auto gang = std::make_unique<LocalGang>(*this, fd, std::move(events));
  for (const std::string& message : messages) RETURN_IF_ERROR(SendWhole(fd, message, spec.stage));
  return gang;
}

}  // namespace millrace
