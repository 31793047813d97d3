// The executor's end of one host: a connection to its agent that is made again when it is lost, and requests that
// survive that.
#ifndef MILLRACE_EXECUTOR_BACKENDS_AGENT_CLIENT_H_
#define MILLRACE_EXECUTOR_BACKENDS_AGENT_CLIENT_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "executor/backends/agent.pb.h"
#include "executor/backends/ssh_process.h"

namespace millrace {

struct AgentClientOptions {
  SshOptions ssh;
  absl::Duration silence = absl::Seconds(20);  // after so long without a sign of life a connection is given up
  absl::Duration patience = absl::Minutes(5);  // for a host whose connection was lost
  absl::Duration time_to_live = absl::Minutes(30);
  int64_t max_store_bytes = int64_t{64} << 30;
};

// A request whose replies keep coming.
class AgentStream {
 public:
  virtual ~AgentStream() = default;
  // Asked for each time there is a new connection.
  virtual ToAgent Request() = 0;
  // On the client's thread; be quick.
  virtual void OnReply(const FromAgent& reply) = 0;
};

// Thread-safe.
class AgentClient {
 public:
  // `agent` outlives it. Connects when there is something to say, and then stays connected.
  AgentClient(AgentClientOptions options, SshHost host, const AgentProgram& agent);
  ~AgentClient();

  const SshHost& host() const { return host_; }
  // The agent's folder on the host: absolute.
  absl::StatusOr<std::string> Folder();

  // Hands replies on until `on_reply` (called on the client's thread) says true. When the connection is lost meanwhile,
  // what `request` then makes is sent on the next one.
  //   As ExplainSsh(): the host cannot be reached, or not again within the patience. Else: what the agent says.
  absl::Status Call(const std::function<ToAgent()>& request,
                    const std::function<absl::StatusOr<bool>(const FromAgent& reply)>& on_reply);
  // With one reply.
  absl::StatusOr<FromAgent> Call(const ToAgent& request);

  // A request of several messages with one reply, which is lost with the connection.
  class Pipe {
   public:
    explicit Pipe(AgentClient& client);
    ~Pipe();
    // False: no use to go on.
    bool Send(ToAgent message);
    // Aborted: the connection was lost.
    absl::Status Wait();

   private:
    AgentClient& client_;
    std::shared_ptr<struct PendingCall> pending_;
    uint64_t id_ = 0;
  };

  // `stream` gets its replies until it is removed; no call of it is under way when Remove() returns.
  void Add(AgentStream* stream);
  void Remove(AgentStream* stream);
  // Sent now or when there is a connection; nobody waits for the reply.
  void Post(ToAgent request);

  // OK: connected, or it may come back. Else why it is given up.
  absl::Status Lost();
  // For who sends a lot to the host: one at a time.
  std::mutex& bulk_mutex() { return bulk_mutex_; }

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  // Until the connection is lost; returns why.
  absl::Status Serve(SshProcess& ssh);
  absl::Status Greet(SshProcess& ssh, class FrameReader& frames);
  void Dispatch(const FromAgent& message);
  void ResumeStreams();
  void SendAlive();
  bool Send(const ToAgent& message);
  // Under mutex_, which `lock` holds.
  absl::Status AwaitConnection(std::unique_lock<std::mutex>& lock);
  bool PatienceIsOver() const;

  const AgentClientOptions options_;
  const SshHost host_;
  const AgentProgram& agent_;

  std::mutex bulk_mutex_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopping_ = false;
  bool connected_ = false;
  bool was_connected_ = false;
  Clock::time_point lost_at_;
  int64_t num_failures_ = 0;
  absl::Status last_failure_;
  int num_waiting_ = 0;
  uint64_t next_id_ = 1;
  std::string folder_;
  std::map<uint64_t, std::shared_ptr<struct PendingCall>> pending_;
  std::vector<ToAgent> posts_;

  // Held while streams are called.
  std::mutex streams_mutex_;
  std::map<uint64_t, AgentStream*> streams_;
  bool streams_run_ = false;  // they have been asked for on this connection

  std::mutex send_mutex_;
  int socket_ = -1;
  Clock::time_point last_sent_;

  std::thread thread_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_AGENT_CLIENT_H_
