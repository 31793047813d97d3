#include "executor/agent/agent_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "executor/backends/digest_bytes.h"
#include "executor/backends/frame.h"
#include "executor/backends/free_port.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// An executor that is there says so every few seconds.
constexpr int kSilenceMs = 60'000;
constexpr auto kSignOfLife = std::chrono::seconds(2);

// Not NotFound, which is for what a gang may lack.
absl::Status NoSuchGang(const std::string& id) { return absl::UnavailableError(absl::StrCat("no gang ", id, " here")); }

}  // namespace

AgentConnection::AgentConnection(Agent& agent, int socket) : agent_(agent), socket_(socket), last_sent_(Clock::now()) {
  const struct timeval patience = {30, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  news_ = std::thread([this] { SendNews(); });
  reader_ = std::thread([this] {
    Read();
    Close();
    done_ = true;
  });
}

AgentConnection::~AgentConnection() {
  Close();
  reader_.join();
  news_.join();
  while (num_workers_ > 0) absl::SleepFor(absl::Milliseconds(1));
  ::close(socket_);
}

void AgentConnection::Close() {
  closed_ = true;
  ::shutdown(socket_, SHUT_RDWR);
}

bool AgentConnection::Send(const FromAgent& message) {
  std::lock_guard lock(send_mutex_);
  if (closed_) return false;
  last_sent_ = Clock::now();
  if (WriteFrame(socket_, message).ok()) return true;
  Close();
  return false;
}

void AgentConnection::Reply(uint64_t id, const absl::Status& status) {
  FromAgent reply;
  reply.set_id(id);
  if (status.ok()) {
    reply.set_done(true);
  } else {
    reply.mutable_failure()->set_code(static_cast<int>(status.code()));
    reply.mutable_failure()->set_message(std::string(status.message()));
  }
  Send(reply);
}

void AgentConnection::Read() {
  FrameReader frames;
  std::vector<char> buffer(1 << 18);
  while (!closed_) {
    struct pollfd polled = {socket_, POLLIN, 0};
    const int ready = ::poll(&polled, 1, kSilenceMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    const ssize_t n = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    frames.Append({buffer.data(), static_cast<size_t>(n)});
    while (true) {
      ToAgent request;
      const absl::StatusOr<bool> whole = frames.Next(request);
      if (!whole.ok()) return;
      if (!*whole) break;
      Handle(std::move(request));
    }
  }
}

void AgentConnection::InBackground(std::function<void()> work) {
  ++num_workers_;
  std::thread([this, work = std::move(work)] {
    work();
    --num_workers_;
  }).detach();
}

void AgentConnection::Handle(ToAgent request) {
  const uint64_t id = request.id();
  switch (request.what_case()) {
    case ToAgent::kHello: {
      agent_.SetLimits(absl::Seconds(request.hello().time_to_live_seconds()), request.hello().max_store_bytes());
      FromAgent reply;
      reply.set_id(id);
      reply.mutable_hello()->set_version(kAgentProtocolVersion);
      reply.mutable_hello()->set_folder(agent_.folder());
      Send(reply);
      return;
    }
    case ToAgent::kAlive:
    case ToAgent::WHAT_NOT_SET:
      return;
    case ToAgent::kBlob: {
      // In order, and without a thread each: pieces of one blob follow each other.
      const BlobPiece& blob = request.blob();
      const absl::StatusOr<Digest> digest = DigestFromBytes(blob.digest());
      if (!digest.ok()) return Reply(id, digest.status());
      const absl::StatusOr<bool> whole = agent_.store().Receive(*digest, blob.size_bytes(), blob.offset(), blob.data());
      if (!whole.ok() || *whole) Reply(id, whole.status());
      return;
    }
    case ToAgent::kFollow: {
      const std::shared_ptr<NodeGang> gang = agent_.Find(request.follow().gang());
      if (gang == nullptr) return Reply(id, NoSuchGang(request.follow().gang()));
      if (request.follow().stop() > 0) request.follow().stop() > 1 ? gang->Kill() : gang->Cancel();
      std::lock_guard lock(follows_mutex_);
      follows_[id] = request.follow();
      held_.insert(request.follow().gang());
      return;
    }
    case ToAgent::kForget:
      // From here on it is not there: what follows may ask for one of the same name.
      if (!agent_.Hide(request.forget())) return Reply(id, absl::OkStatus());
      InBackground([this, id, gang = request.forget()] {
        agent_.Remove(gang, /*gently=*/false);
        Reply(id, absl::OkStatus());
      });
      return;
    default:
      InBackground([this, request = std::move(request)] { HandleSlowly(request); });
  }
}

void AgentConnection::HandleSlowly(const ToAgent& request) {
  const uint64_t id = request.id();
  FromAgent reply;
  reply.set_id(id);
  const auto with_gang = [&](const std::string& gang_id, const std::function<absl::Status(NodeGang&)>& use) {
    const std::shared_ptr<NodeGang> gang = agent_.Find(gang_id);
    Reply(id, gang == nullptr ? NoSuchGang(gang_id) : use(*gang));
  };
  switch (request.what_case()) {
    case ToAgent::kPrepare: {
      const std::shared_ptr<NodeGang> gang = agent_.Prepare(request.prepare());
      {
        std::lock_guard lock(follows_mutex_);
        held_.insert(request.prepare().id());
      }
      Prepared& prepared = *reply.mutable_prepared();
      if (gang->started()) {
        prepared.set_state(Prepared::STARTED);
      } else {
        const absl::StatusOr<std::vector<MissingBlob>> missing = gang->Prepare();
        if (!missing.ok()) return Reply(id, missing.status());
        prepared.set_state(missing->empty() ? Prepared::READY : Prepared::MISSING);
        for (const MissingBlob& blob : *missing) {
          Prepared::Blob* added = prepared.add_missing();
          added->set_digest(blob.digest.bytes.data(), blob.digest.bytes.size());
          added->set_bytes_there(blob.bytes_there);
        }
      }
      Send(reply);
      return;
    }
    case ToAgent::kFind: {
      const std::shared_ptr<NodeGang> gang = agent_.Find(request.find());
      reply.mutable_prepared()->set_state(gang == nullptr   ? Prepared::UNKNOWN
                                          : gang->started() ? Prepared::STARTED
                                                            : Prepared::READY);
      Send(reply);
      return;
    }
    case ToAgent::kStart:
      return with_gang(request.start(), [](NodeGang& gang) { return gang.Start(); });
    case ToAgent::kCancel:
      return with_gang(request.cancel(), [](NodeGang& gang) {
        gang.Cancel();
        return absl::OkStatus();
      });
    case ToAgent::kKill:
      return with_gang(request.kill(), [](NodeGang& gang) {
        gang.Kill();
        return absl::OkStatus();
      });
    case ToAgent::kRelease:
      return with_gang(request.release().gang(),
                       [&](NodeGang& gang) { return gang.Release(request.release().path()); });
    case ToAgent::kPublish: {
      const std::shared_ptr<NodeGang> gang = agent_.Find(request.publish().gang());
      if (gang == nullptr) return Reply(id, NoSuchGang(request.publish().gang()));
      const absl::StatusOr<PublishedTree> published = gang->Publish(request.publish().path());
      if (!published.ok()) return Reply(id, published.status());
      reply.set_published(published->tree.Canonical());
      Send(reply);
      return;
    }
    case ToAgent::kFetch:
      return Reply(id, Fetch(id, request.fetch()));
    case ToAgent::kFreePort: {
      const absl::StatusOr<int> port = FreePort(/*all_interfaces=*/true);
      if (!port.ok()) return Reply(id, port.status());
      reply.set_port(*port);
      Send(reply);
      return;
    }
    default:
      return Reply(id, absl::UnimplementedError("this agent does not know what that is"));
  }
}

absl::Status AgentConnection::Fetch(uint64_t id, const FetchBlobs& fetch) {
  int64_t offset = fetch.offset();
  for (const std::string& bytes : fetch.digest()) {
    ASSIGN_OR_RETURN(const Digest digest, DigestFromBytes(bytes));
    const auto send = [&](int64_t size_bytes, int64_t from, absl::string_view data) {
      FromAgent message;
      message.set_id(id);
      BlobPiece& piece = *message.mutable_piece();
      piece.set_digest(bytes);
      piece.set_size_bytes(size_bytes);
      piece.set_offset(from);
      piece.set_data(data.data(), data.size());
      return Send(message);
    };
    RETURN_IF_ERROR(agent_.store().Read(digest, offset, send));
    offset = 0;
  }
  return absl::OkStatus();
}

void AgentConnection::SendNews() {
  while (!closed_) {
    std::vector<uint64_t> ids;
    {
      std::lock_guard lock(follows_mutex_);
      for (const auto& [id, follow] : follows_) ids.push_back(id);
      // Also those that are not started yet, and those that have ended: much may have to be sent, or fetched.
      for (auto gang = held_.begin(); gang != held_.end();) {
        gang = agent_.Find(*gang) == nullptr ? held_.erase(gang) : std::next(gang);
      }
    }
    bool more = false;
    for (const uint64_t id : ids) {
      std::unique_lock lock(follows_mutex_);
      Follow follow = follows_[id];
      lock.unlock();
      const std::shared_ptr<NodeGang> gang = agent_.Find(follow.gang());
      FromAgent message;
      message.set_id(id);
      bool over = gang == nullptr;
      if (over) {
        Reply(id, NoSuchGang(follow.gang()));
      } else {
        *message.mutable_news() = gang->NewsSince(follow);
        over = message.news().has_end();
        if (message.news().ByteSizeLong() > 0) {
          if (!Send(message)) return;
          more = true;
        }
      }
      lock.lock();
      if (over) {
        follows_.erase(id);
      } else {
        follows_[id] = std::move(follow);
      }
    }
    if (more) continue;
    bool silent;
    {
      std::lock_guard lock(send_mutex_);
      silent = Clock::now() - last_sent_ > kSignOfLife;
    }
    if (silent) {
      FromAgent alive;
      alive.set_alive(true);
      if (!Send(alive)) return;
    }
    agent_.WaitForNews();
  }
}

}  // namespace millrace
