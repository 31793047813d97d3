// One executor that talks to the agent.
#ifndef MILLRACE_EXECUTOR_AGENT_AGENT_CONNECTION_H_
#define MILLRACE_EXECUTOR_AGENT_AGENT_CONNECTION_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "executor/agent/agent.h"
#include "executor/backends/agent.pb.h"

namespace millrace {

// Reads requests on a thread of its own; what may take long gets one each; another sends news of gangs, and a sign of
// life.
class AgentConnection {
 public:
  AgentConnection(Agent& agent, int socket);
  // Ends it and waits for its threads.
  ~AgentConnection();
  // It can be destroyed without waiting.
  bool done() const { return done_ && num_workers_ == 0; }

 private:
  void Read();
  void Handle(ToAgent request);
  void HandleSlowly(const ToAgent& request);
  void InBackground(std::function<void()> work);
  void SendNews();
  bool Send(const FromAgent& message);
  void Reply(uint64_t id, const absl::Status& status);
  absl::Status Fetch(uint64_t id, const FetchBlobs& fetch);
  void Close();

  Agent& agent_;
  const int socket_;
  std::atomic<bool> closed_ = false;
  std::atomic<bool> done_ = false;

  std::mutex send_mutex_;
  std::chrono::steady_clock::time_point last_sent_;

  std::mutex follows_mutex_;
  std::map<uint64_t, Follow> follows_;  // by request
  std::set<std::string> held_;          // gangs that are kept while this connection lasts

  std::atomic<int> num_workers_ = 0;
  std::thread news_;
  std::thread reader_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_AGENT_AGENT_CONNECTION_H_
