// The agent: keeps a node's gangs alive whatever becomes of the connection to the executor, and answers it
// (agent.proto).
//
// One agent at a time has a folder:
//   <folder>/socket   where it listens; `connect` bridges an ssh session to it
//   <folder>/lock     held while it lives
//   <folder>/gangs/<id>/   working folders and logs
//   and what NodeStore keeps
#ifndef MILLRACE_EXECUTOR_AGENT_AGENT_H_
#define MILLRACE_EXECUTOR_AGENT_AGENT_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "executor/agent/node_gang.h"
#include "executor/agent/node_store.h"
#include "executor/backends/agent.pb.h"
#include "executor/backends/local.h"

namespace millrace {

class AgentConnection;

class Agent {
 public:
  // The current folder is the agent's. Returns once it listens; forks the process that gangs live under.
  //   AlreadyExists: another one has the folder.
  static absl::StatusOr<std::unique_ptr<Agent>> Start();
  ~Agent();

  // Until it has had neither gangs nor connections for as long as it lives without (time to live).
  void Run();

  // For connections, from any of their threads.
  const std::string& folder() const { return folder_; }
  NodeStore& store() { return *store_; }
  void SetLimits(absl::Duration time_to_live, int64_t max_store_bytes);
  // Makes it unless it is there; waits while one of its name is being removed.
  std::shared_ptr<NodeGang> Prepare(const NodeGangSpec& spec);
  // Null: there is none.
  std::shared_ptr<NodeGang> Find(const std::string& id);
  // As if it were not there any more. False: it is not.
  bool Hide(const std::string& id);
  // Of a hidden one: ends it (SIGTERM and grace first, if `gently`) and returns when nothing is left of it.
  void Remove(const std::string& id, bool gently);
  // Waits until a gang has news, or a moment.
  void WaitForNews();

 private:
  Agent() = default;
  void Accept();
  // What happens now and then: what nobody follows is ended, the store is bounded.
  void KeepHouse();
  void Notify();

  std::string folder_;
  int lock_fd_ = -1;
  int socket_ = -1;
  std::unique_ptr<NodeStore> store_;
  std::unique_ptr<LocalBackend> backend_;

  std::mutex mutex_;
  absl::Duration time_to_live_;
  int64_t max_store_bytes_;
  std::chrono::steady_clock::time_point last_used_;
  std::chrono::steady_clock::time_point last_bound_;
  std::map<std::string, std::shared_ptr<NodeGang>> gangs_;
  std::set<std::string> hidden_;  // of gangs_
  std::condition_variable removed_;
  std::vector<std::unique_ptr<AgentConnection>> connections_;

  std::mutex news_mutex_;
  std::condition_variable news_;
  int64_t num_news_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_AGENT_AGENT_H_
