#include "executor/agent/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/agent/agent_connection.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Until an executor has said what holds.
constexpr absl::Duration kTimeToLive = absl::Minutes(30);
constexpr int64_t kMaxStoreBytes = int64_t{64} << 30;

constexpr absl::Duration kBoundEvery = absl::Minutes(1);
constexpr absl::Duration kSpare = absl::Minutes(10);
constexpr int kTickMs = 500;
// Logs grow without a sign.
constexpr auto kLookAtLogs = std::chrono::milliseconds(100);

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start() {
  std::unique_ptr<Agent> agent(new Agent);
  char folder[4096];
  if (::getcwd(folder, sizeof(folder)) == nullptr) return ErrnoError(errno, "find", "the current folder");
  agent->folder_ = folder;
  agent->lock_fd_ = ::open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (agent->lock_fd_ < 0) return ErrnoError(errno, "open", JoinPath(folder, "lock"));
  if (::flock(agent->lock_fd_, LOCK_EX | LOCK_NB) != 0)
    return absl::AlreadyExistsError(absl::StrCat("another agent has ", folder));
  const std::string pid = absl::StrCat(::getpid(), "\n");
  if (::ftruncate(agent->lock_fd_, 0) != 0 || ::write(agent->lock_fd_, pid.data(), pid.size()) < 0)
    return ErrnoError(errno, "write", JoinPath(folder, "lock"));
  // Before there are threads.
  agent->backend_ = std::make_unique<LocalBackend>();
  RETURN_IF_ERROR(agent->backend_->Start());
  // Gangs end with their agent: these are remains.
  RETURN_IF_ERROR(RemoveTree(JoinPath(folder, "gangs")));
  RETURN_IF_ERROR(CreateDirectories(JoinPath(folder, "gangs")));
  ASSIGN_OR_RETURN(agent->store_, NodeStore::Open(folder));
  agent->time_to_live_ = kTimeToLive;
  agent->max_store_bytes_ = kMaxStoreBytes;
  agent->last_used_ = agent->last_bound_ = Clock::now();

  agent->socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Relative: a path may be too long for it.
  std::strcpy(address.sun_path, "socket");
  ::unlink("socket");
  if (agent->socket_ < 0 ||
      ::bind(agent->socket_, reinterpret_cast<struct sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(agent->socket_, 64) != 0)
    return ErrnoError(errno, "listen at", JoinPath(folder, "socket"));
  return agent;
}

Agent::~Agent() {
  connections_.clear();
  gangs_.clear();
  if (socket_ >= 0) {
    ::unlink("socket");
    ::close(socket_);
  }
  backend_.reset();
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

void Agent::Run() {
  while (true) {
    struct pollfd polled = {socket_, POLLIN, 0};
    if (::poll(&polled, 1, kTickMs) > 0) Accept();
    KeepHouse();
    std::lock_guard lock(mutex_);
    if (!gangs_.empty() || !connections_.empty()) {
      last_used_ = Clock::now();
    } else if (absl::FromChrono(Clock::now() - last_used_) > time_to_live_) {
      return;
    }
  }
}

void Agent::Accept() {
  const int fd = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  auto connection = std::make_unique<AgentConnection>(*this, fd);
  std::lock_guard lock(mutex_);
  connections_.push_back(std::move(connection));
}

void Agent::KeepHouse() {
  std::vector<std::unique_ptr<AgentConnection>> over;
  std::vector<std::string> abandoned;
  int64_t bound_bytes = -1;
  {
    std::lock_guard lock(mutex_);
    for (std::unique_ptr<AgentConnection>& connection : connections_) {
      if (connection->done()) over.push_back(std::move(connection));
    }
    connections_.erase(std::remove(connections_.begin(), connections_.end(), nullptr), connections_.end());
    for (const auto& [id, gang] : gangs_) {
      if (gang->SinceTouched() > time_to_live_ && hidden_.insert(id).second) abandoned.push_back(id);
    }
    if (absl::FromChrono(Clock::now() - last_bound_) > kBoundEvery) {
      last_bound_ = Clock::now();
      for (const auto& [id, gang] : gangs_) gang->TouchTools();
      if (store_->has_grown()) bound_bytes = max_store_bytes_;
    }
  }
  over.clear();
  // The agent lives as long as there are gangs: longer than these threads.
  for (const std::string& id : abandoned) std::thread([this, id] { Remove(id, /*gently=*/true); }).detach();
  if (bound_bytes >= 0) store_->Bound(bound_bytes, kSpare).IgnoreError();
}

void Agent::SetLimits(absl::Duration time_to_live, int64_t max_store_bytes) {
  std::lock_guard lock(mutex_);
  if (time_to_live > absl::ZeroDuration()) time_to_live_ = time_to_live;
  if (max_store_bytes > 0) max_store_bytes_ = max_store_bytes;
}

std::shared_ptr<NodeGang> Agent::Prepare(const NodeGangSpec& spec) {
  std::unique_lock lock(mutex_);
  removed_.wait(lock, [&] { return !hidden_.contains(spec.id()); });
  std::shared_ptr<NodeGang>& gang = gangs_[spec.id()];
  if (gang == nullptr) {
    gang = std::make_shared<NodeGang>(spec, absl::StrCat(folder_, "/gangs/", spec.id()), *store_, *backend_,
                                      [this] { Notify(); });
  }
  gang->Touch();
  return gang;
}

std::shared_ptr<NodeGang> Agent::Find(const std::string& id) {
  std::lock_guard lock(mutex_);
  const auto found = gangs_.find(id);
  if (found == gangs_.end() || hidden_.contains(id)) return nullptr;
  found->second->Touch();
  return found->second;
}

bool Agent::Hide(const std::string& id) {
  std::lock_guard lock(mutex_);
  return gangs_.contains(id) && hidden_.insert(id).second;
}

void Agent::Remove(const std::string& id, bool gently) {
  std::shared_ptr<NodeGang> gang;
  {
    std::lock_guard lock(mutex_);
    gang = gangs_.at(id);
  }
  Notify();
  if (gently) {
    gang->Cancel();
    // Its own grace ends it, if nothing else does.
    while (gang->started() && !gang->ended()) absl::SleepFor(absl::Milliseconds(50));
  }
  gang->Remove();
  std::lock_guard lock(mutex_);
  gangs_.erase(id);
  hidden_.erase(id);
  removed_.notify_all();
}

void Agent::Notify() {
  std::lock_guard lock(news_mutex_);
  ++num_news_;
  news_.notify_all();
}

void Agent::WaitForNews() {
  std::unique_lock lock(news_mutex_);
  const int64_t seen = num_news_;
  news_.wait_for(lock, kLookAtLogs, [&] { return num_news_ != seen; });
}

}  // namespace millrace
