// One host's ranks of a gang: laid out, started once, watched, and kept until the executor has all that came of it.
#ifndef MILLRACE_EXECUTOR_AGENT_NODE_GANG_H_
#define MILLRACE_EXECUTOR_AGENT_NODE_GANG_H_

#include <chrono>
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
#include "executor/agent/node_store.h"
#include "executor/backends/agent.pb.h"
#include "executor/backends/backend.h"

namespace millrace {

// Thread-safe.
class NodeGang {
 public:
  // `folder` is the gang's own, to be made. The others outlive it; `on_news` is called from any thread.
  NodeGang(NodeGangSpec spec, std::string folder, NodeStore& store, Backend& backend, std::function<void()> on_news);
  ~NodeGang();

  // Kills it and removes its folder. Nothing can be done with it any more.
  void Remove();

  // What must be sent first; lays everything out if nothing is.
  absl::StatusOr<std::vector<MissingBlob>> Prepare();
  // Does nothing if it was started before. FailedPrecondition: it is not prepared.
  absl::Status Start();
  bool started() const;
  bool ended() const;
  void Cancel();
  void Kill();

  // What has come beyond `follow`, at most about a megabyte; moves `follow` on. With `end` when nothing more will come.
  GangNews NewsSince(Follow& follow);

  // The tree of a folder below the working folder; the same one when asked again, until it is released.
  absl::StatusOr<PublishedTree> Publish(const std::string& path);
  // Removes the folder.
  absl::Status Release(const std::string& path);

  // Somebody follows it, or asks for it.
  void Touch();
  absl::Duration SinceTouched() const;
  // Its tools are in use.
  void TouchTools();

 private:
  absl::Status LayOut();
  GangSpec LocalSpec() const;
  void Watch();
  void End(GangNews::End end);

  const NodeGangSpec spec_;
  const std::string folder_;
  const std::string work_folder_;
  NodeStore& store_;
  Backend& backend_;
  const std::function<void()> on_news_;

  std::mutex prepare_mutex_;
  std::mutex publish_mutex_;
  std::map<std::string, PublishedTree> published_;

  mutable std::mutex mutex_;
  bool removed_ = false;
  bool prepared_ = false;
  bool started_ = false;
  int stop_ = 0;  // 1: cancel, 2: kill
  std::chrono::steady_clock::time_point touched_;
  std::vector<GangNews::Event> events_;
  int failed_rank_ = -1;
  std::unique_ptr<GangNews::End> end_;
  std::shared_ptr<Gang> gang_;
  std::thread watcher_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_AGENT_NODE_GANG_H_
