// Sends what was made here to the shared caches, while the next stages run: blobs first, then the entry that names
// them, so that whatever ends in the middle leaves blobs that nothing names.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_UPLOADER_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_UPLOADER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "executor/cas/action_cache.h"
#include "executor/cas/digest.h"
#include "executor/cas/record_log.h"
#include "executor/cas/remote/remote_store.h"

namespace millrace {

// Thread-safe. Its threads start with the first result.
class Uploader {
 public:
  // `folder`: remembers, a file for each cache, which results were sent.
  static absl::StatusOr<std::unique_ptr<Uploader>> Open(RemoteStore& remotes, ActionCache& cache,
                                                        const std::string& folder);
  ~Uploader();  // what was not sent is not

  // The result with this key, which is complete here; nothing is done if it was sent before.
  void AddEntry(const Digest& key);
  // What is known of a chain, with the bytes of its last state. Those that come while one waits are one.
  void AddChain(const Digest& chain_key);

  struct Progress {
    int64_t results_sent = 0;
    int64_t results_left = 0;  // in work or waiting
    int64_t bytes_sent = 0;
    double seconds = 0;  // since the first result was added
  };
  Progress progress();
  // Waits until everything is sent, or for so long. Returns whether nothing is left.
  bool Wait(absl::Duration at_most);
  // Ends what is on its way; forgets the rest.
  void Cancel();

 private:
  struct Item {
    Digest key;
    bool is_chain = false;
  };
  Uploader(RemoteStore& remotes, ActionCache& cache) : remotes_(remotes), cache_(cache) {}
  void Add(const Item& item);
  void Work();
  void Send(const Item& item);
  bool SendEntry(const Digest& key, RemoteTier& tier);
  bool SendChain(const Digest& chain_key, RemoteTier& tier);
  // All blobs of the trees. False: not all are there now.
  bool SendTrees(const std::vector<Tree>& trees, RemoteTier& tier);
  bool SendBlob(const Digest& digest, int64_t size_bytes, RemoteTier& tier);
  // OK: theirs may be replaced. The tier has another result of this key otherwise.
  bool MayPut(const Digest& key, const ActionEntry& entry, RemoteTier& tier);

  struct Remembered {
    std::unique_ptr<RecordLog> log;
    absl::flat_hash_set<Digest> keys;
  };

  RemoteStore& remotes_;
  ActionCache& cache_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Remembered> remembered_;  // by tier
  std::deque<Item> waiting_;
  absl::flat_hash_set<Digest> chains_waiting_;
  int num_working_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
  absl::Time started_at_;
  int64_t results_sent_ = 0;
  std::atomic<bool> cancelled_ = false;
  std::atomic<int64_t> bytes_sent_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_UPLOADER_H_
