// One thread connects, reads, and connects again; any thread writes. Whoever waits for a reply is told by that thread
// that it has come, or that the connection is gone.
#include "executor/backends/agent_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "executor/backends/frame.h"

namespace millrace {

struct PendingCall {
  std::function<absl::StatusOr<bool>(const FromAgent&)> on_reply;
  bool over = false;
  bool lost = false;
  absl::Status status;
};

namespace {

constexpr auto kSayAlive = std::chrono::seconds(5);
constexpr auto kLeave = std::chrono::seconds(2);
constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(10);

// No use to try again soon.
bool IsFinal(const absl::Status& status) { return !status.ok() && !absl::IsUnavailable(status); }

absl::Status FailureOf(const std::string& host, const Failure& failure) {
  if (failure.code() == static_cast<int>(absl::StatusCode::kResourceExhausted)) {
    return absl::ResourceExhaustedError(absl::StrCat("host \"", host,
                                                     "\": its disk is full\n  why: ", failure.message(),
                                                     "\n  fix: free some space there, or choose another `work_dir`"));
  }
  return Annotate(absl::Status(static_cast<absl::StatusCode>(failure.code()), failure.message()),
                  absl::StrCat("host \"", host, "\""));
}

}  // namespace

AgentClient::AgentClient(AgentClientOptions options, SshHost host, const AgentProgram& agent)
    : options_(std::move(options)), host_(std::move(host)), agent_(agent), thread_([this] { Run(); }) {}

AgentClient::~AgentClient() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  {
    std::lock_guard lock(send_mutex_);
    if (socket_ >= 0) ::shutdown(socket_, SHUT_WR);
  }
  thread_.join();
}

void AgentClient::Run() {
  absl::Duration pause = kFirstPause;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto is_wanted = [this] {
      if (num_waiting_ > 0) return true;
      std::lock_guard streams_lock(streams_mutex_);
      return !streams_.empty();
    };
    if (!is_wanted()) {
      pause = kFirstPause;
      changed_.wait(lock);
      continue;
    }
    lock.unlock();
    SshProcess ssh;
    absl::Status status = ssh.Connect(options_.ssh, host_, agent_, stopping_);
    if (status.ok()) status = Serve(ssh);
    lock.lock();
    if (connected_) {
      // Whatever ended it, it worked before.
      if (IsFinal(status)) status = absl::UnavailableError(status.message());
      connected_ = false;
      lost_at_ = Clock::now();
      pause = kFirstPause;
    } else {
      ++num_failures_;
    }
    last_failure_ = std::move(status);
    for (const auto& [id, pending] : pending_) pending->lost = true;
    pending_.clear();
    changed_.notify_all();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(pause), [this] { return stopping_.load(); });
    pause = std::min(2 * pause, kLongestPause);
  }
  for (const auto& [id, pending] : pending_) pending->lost = true;
  changed_.notify_all();
}

absl::Status AgentClient::Greet(SshProcess& ssh, FrameReader& frames) {
  ToAgent hello;
  hello.mutable_hello()->set_version(kAgentProtocolVersion);
  hello.mutable_hello()->set_time_to_live_seconds(absl::ToDoubleSeconds(options_.time_to_live));
  hello.mutable_hello()->set_max_store_bytes(options_.max_store_bytes);
  if (!WriteFrame(ssh.socket(), hello).ok()) return ssh.End(host_.name, "");
  frames.Append(ssh.TakeFirstBytes());
  const auto deadline = Clock::now() + absl::ToChronoMilliseconds(options_.silence);
  FromAgent reply;
  while (true) {
    const absl::StatusOr<bool> whole = frames.Next(reply);
    if (!whole.ok()) return ssh.End(host_.name, whole.status().message());
    if (*whole && reply.has_hello()) break;
    if (*whole) continue;
    struct pollfd polled = {ssh.socket(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (::poll(&polled, 1, static_cast<int>(std::max<int64_t>(0, left))) <= 0)
      return ssh.End(host_.name, "its agent says nothing: the connection timed out");
    char buffer[4096];
    const ssize_t n = ::recv(ssh.socket(), buffer, sizeof(buffer), 0);
    if (n <= 0) return ssh.End(host_.name, "");
    frames.Append({buffer, static_cast<size_t>(n)});
  }
  if (reply.hello().version() != kAgentProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "host \"", host_.name, "\": another version of Millrace is at work there\n  why: its agent speaks ",
        reply.hello().version(), ", this one ", kAgentProtocolVersion,
        "\n  fix: wait until its gangs have ended and its time_to_live is over, or name another work_dir"));
  }
  std::lock_guard lock(mutex_);
  folder_ = reply.hello().folder();
  return absl::OkStatus();
}

absl::Status AgentClient::Serve(SshProcess& ssh) {
  FrameReader frames;
  RETURN_IF_ERROR(Greet(ssh, frames));
  {
    std::lock_guard send_lock(send_mutex_);
    socket_ = ssh.socket();
    last_sent_ = Clock::now();
  }
  std::vector<ToAgent> posts;
  {
    std::lock_guard lock(mutex_);
    connected_ = was_connected_ = true;
    posts.swap(posts_);
    changed_.notify_all();
  }
  for (const ToAgent& post : posts) Send(post);
  ResumeStreams();

  std::string why;
  bool errors_open = true, over = false;
  auto heard_at = Clock::now(), leave_at = heard_at + kLeave;
  std::vector<char> buffer(1 << 18);
  while (!over) {
    struct pollfd polled[2] = {{ssh.socket(), POLLIN, 0}, {errors_open ? ssh.error_fd() : -1, POLLIN, 0}};
    const int ready = ::poll(polled, 2, 500);
    if (ready < 0 && errno != EINTR) break;
    if (polled[1].revents != 0) errors_open = ssh.ReadErrors();
    if (ready > 0 && polled[0].revents != 0) {
      const ssize_t n = ::recv(ssh.socket(), buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      heard_at = Clock::now();
      frames.Append({buffer.data(), static_cast<size_t>(n)});
      while (!over) {
        FromAgent message;
        const absl::StatusOr<bool> whole = frames.Next(message);
        if (!whole.ok()) {
          why = std::string(whole.status().message());
          over = true;
        }
        if (over || !*whole) break;
        Dispatch(message);
      }
    } else if (Clock::now() - heard_at > absl::ToChronoMilliseconds(options_.silence)) {
      why = absl::StrCat("nothing was heard from it for ", absl::FormatDuration(options_.silence),
                         ": the connection timed out");
      over = true;
    }
    SendAlive();
    // What was said last still goes out: the other side ends the conversation then.
    if (stopping_ && Clock::now() > leave_at) over = true;
    if (!stopping_) leave_at = Clock::now() + kLeave;
  }
  {
    std::lock_guard lock(streams_mutex_);
    streams_run_ = false;
  }
  {
    // Whoever is writing gets an error, and then nobody begins to.
    ::shutdown(ssh.socket(), SHUT_RDWR);
    std::lock_guard send_lock(send_mutex_);
    socket_ = -1;
  }
  return ssh.End(host_.name, why);
}

void AgentClient::SendAlive() {
  // Who writes is alive.
  std::unique_lock lock(send_mutex_, std::try_to_lock);
  if (!lock.owns_lock() || socket_ < 0 || Clock::now() - last_sent_ < kSayAlive) return;
  struct pollfd polled = {socket_, POLLOUT, 0};
  if (::poll(&polled, 1, 0) <= 0) return;
  ToAgent alive;
  alive.set_alive(true);
  last_sent_ = Clock::now();
  WriteFrame(socket_, alive).IgnoreError();
}

bool AgentClient::Send(const ToAgent& message) {
  std::lock_guard lock(send_mutex_);
  if (socket_ < 0) return false;
  last_sent_ = Clock::now();
  if (WriteFrame(socket_, message).ok()) return true;
  // Half a message may be out: nothing can follow it.
  ::shutdown(socket_, SHUT_RDWR);
  return false;
}

void AgentClient::Dispatch(const FromAgent& message) {
  const uint64_t id = message.id();
  std::shared_ptr<PendingCall> pending;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = pending_.find(id); found != pending_.end()) pending = found->second;
  }
  if (pending != nullptr) {
    absl::StatusOr<bool> last = true;
    if (message.has_failure()) {
      last = FailureOf(host_.name, message.failure());
    } else if (pending->on_reply != nullptr) {
      last = pending->on_reply(message);
    }
    if (last.ok() && !*last) return;
    std::lock_guard lock(mutex_);
    pending->status = last.status();
    pending->over = true;
    pending_.erase(id);
    changed_.notify_all();
    return;
  }
  std::lock_guard lock(streams_mutex_);
  if (const auto found = streams_.find(id); found != streams_.end()) found->second->OnReply(message);
}

void AgentClient::ResumeStreams() {
  std::lock_guard lock(streams_mutex_);
  for (const auto& [id, stream] : streams_) {
    ToAgent request = stream->Request();
    request.set_id(id);
    Send(request);
  }
  streams_run_ = true;
}

bool AgentClient::PatienceIsOver() const {
  return !was_connected_ || IsFinal(last_failure_) ||
         Clock::now() - lost_at_ > absl::ToChronoMilliseconds(options_.patience);
}

absl::Status AgentClient::AwaitConnection(std::unique_lock<std::mutex>& lock) {
  const int64_t failures = num_failures_;
  ++num_waiting_;
  changed_.notify_all();
  absl::Status status;
  while (!connected_) {
    if (stopping_) status = absl::CancelledError("the executor ends");
    if (num_failures_ > failures && PatienceIsOver()) status = last_failure_;
    if (!status.ok()) break;
    changed_.wait_for(lock, std::chrono::seconds(1));
  }
  --num_waiting_;
  return status;
}

absl::StatusOr<std::string> AgentClient::Folder() {
  std::unique_lock lock(mutex_);
  RETURN_IF_ERROR(AwaitConnection(lock));
  return folder_;
}

absl::Status AgentClient::Call(const std::function<ToAgent()>& make,
                               const std::function<absl::StatusOr<bool>(const FromAgent& reply)>& on_reply) {
  const auto pending = std::make_shared<PendingCall>();
  pending->on_reply = on_reply;
  std::unique_lock lock(mutex_);
  while (true) {
    RETURN_IF_ERROR(AwaitConnection(lock));
    ToAgent request = make();
    request.set_id(next_id_++);
    pending->lost = false;
    pending_[request.id()] = pending;
    lock.unlock();
    Send(request);
    lock.lock();
    changed_.wait(lock, [&] { return pending->over || pending->lost; });
    if (pending->over) return pending->status;
    if (stopping_) return absl::CancelledError("the executor ends");
  }
}

absl::StatusOr<FromAgent> AgentClient::Call(const ToAgent& request) {
  FromAgent reply;
  RETURN_IF_ERROR(Call([&] { return request; },
                       [&](const FromAgent& message) {
                         reply = message;
                         return true;
                       }));
  return reply;
}

AgentClient::Pipe::Pipe(AgentClient& client) : client_(client), pending_(std::make_shared<PendingCall>()) {
  std::lock_guard lock(client_.mutex_);
  id_ = client_.next_id_++;
  pending_->lost = !client_.connected_;
  if (!pending_->lost) client_.pending_[id_] = pending_;
}

AgentClient::Pipe::~Pipe() {
  std::lock_guard lock(client_.mutex_);
  client_.pending_.erase(id_);
}

bool AgentClient::Pipe::Send(ToAgent message) {
  {
    std::lock_guard lock(client_.mutex_);
    if (pending_->over || pending_->lost) return false;
  }
  message.set_id(id_);
  return client_.Send(message);
}

absl::Status AgentClient::Pipe::Wait() {
  std::unique_lock lock(client_.mutex_);
  client_.changed_.wait(lock, [&] { return pending_->over || pending_->lost; });
  return pending_->over ? pending_->status : absl::AbortedError("the connection was lost");
}

void AgentClient::Add(AgentStream* stream) {
  uint64_t id;
  {
    std::lock_guard lock(mutex_);
    id = next_id_++;
  }
  {
    std::lock_guard lock(streams_mutex_);
    streams_[id] = stream;
    if (streams_run_) {
      ToAgent request = stream->Request();
      request.set_id(id);
      Send(request);
    }
  }
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void AgentClient::Remove(AgentStream* stream) {
  std::lock_guard lock(streams_mutex_);
  for (auto entry = streams_.begin(); entry != streams_.end();) {
    entry = entry->second == stream ? streams_.erase(entry) : std::next(entry);
  }
}

void AgentClient::Post(ToAgent request) {
  {
    std::lock_guard lock(mutex_);
    request.set_id(next_id_++);
    if (!connected_) {
      posts_.push_back(std::move(request));
      return;
    }
  }
  Send(request);
}

absl::Status AgentClient::Lost() {
  std::lock_guard lock(mutex_);
  if (connected_ || !was_connected_ || last_failure_.ok() || !PatienceIsOver()) return absl::OkStatus();
  return last_failure_;
}

}  // namespace millrace
