// What a node keeps between gangs: blobs (executor/cas), laid-out tools, and pieces of blobs that are on their way.
//
//   <folder>/cas/          the storage: what came in and what gangs made here; bounded, the least recently used goes
//   <folder>/tools/<hex>/  programs, by their tree's digest
//   <folder>/incoming/<hex>  the beginning of a blob
//   <folder>/boot          the boot in which all of it was written: nothing is synced, so after another it starts empty
#ifndef MILLRACE_EXECUTOR_AGENT_NODE_STORE_H_
#define MILLRACE_EXECUTOR_AGENT_NODE_STORE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "executor/cas/cas.h"
#include "executor/cas/digest.h"
#include "executor/cas/tree.h"

namespace millrace {

struct MissingBlob {
  Digest digest;
  int64_t bytes_there = 0;  // received before
};

// Thread-safe. One process at a time has a folder.
class NodeStore {
 public:
  static absl::StatusOr<std::unique_ptr<NodeStore>> Open(const std::string& folder);

  // What must be sent before the tree can be laid out; itself, if it is not known.
  std::vector<MissingBlob> Missing(const Digest& tree);
  // A piece of a blob, in order. True: it is whole, checked and kept.
  //   DataLoss: its bytes are not those of its name; they have been dropped.  ResourceExhausted: the disk is full, also
  //   after what had not been used lately was dropped.
  absl::StatusOr<bool> Receive(const Digest& digest, int64_t size_bytes, int64_t offset, absl::string_view data);

  // NotFound: a blob has gone since Missing().
  absl::Status LayOut(const Digest& tree, const std::string& destination, MaterializeMode mode);
  bool HasTool(const Digest& tree) const;
  // Lays it out if it is not there; returns its folder. Two gangs may ask at the same time.
  absl::StatusOr<std::string> Tool(const Digest& tree);
  // It is in use.
  void TouchTool(const Digest& tree);

  // Takes over a folder that a gang made (see Cas::PutTree); it must not go before Unpin().
  absl::StatusOr<PublishedTree> Publish(const std::string& folder);
  void Unpin(const PublishedTree& published);

  // Calls `use` with pieces of the blob from `offset` on, at least one; stops when that returns false.
  absl::Status Read(const Digest& digest, int64_t offset,
                    const std::function<bool(int64_t size_bytes, int64_t offset, absl::string_view data)>& use);

  // Drops what has not been used for longest, until `max_bytes` hold; spares what was used within `spare`.
  absl::Status Bound(int64_t max_bytes, absl::Duration spare);
  // Whether something has come since the last Bound().
  bool has_grown() const { return has_grown_; }

 private:
  explicit NodeStore(std::string folder) : folder_(std::move(folder)) {}
  std::string ToolFolder(const Digest& tree) const;
  std::string IncomingPath(const Digest& digest) const;
  absl::Status WritePiece(const Digest& digest, int64_t size_bytes, int64_t offset, absl::string_view data);
  void Touch(const Digest& digest);
  absl::Status DropOldTools(absl::Duration spare);

  const std::string folder_;
  std::unique_ptr<Cas> cas_;
  // Shared by who publishes or lays out, exclusive to Bound().
  std::shared_mutex mutex_;
  std::mutex tools_mutex_;
  std::mutex pins_mutex_;
  absl::flat_hash_set<Digest> pins_;
  std::atomic<bool> has_grown_ = true;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_AGENT_NODE_STORE_H_
