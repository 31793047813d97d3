// Blobs and trees to a node and from it: only what is missing, resumed where a connection was lost, checked on arrival.
#ifndef MILLRACE_EXECUTOR_BACKENDS_AGENT_TRANSFER_H_
#define MILLRACE_EXECUTOR_BACKENDS_AGENT_TRANSFER_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "executor/backends/agent_client.h"
#include "executor/cas/cas.h"
#include "executor/cas/digest.h"
#include "executor/cas/tree.h"

namespace millrace {

// Where this machine has the bytes of blobs.
class BlobSources {
 public:
  // The files of a tree that lies at `folder`, and its text.
  void AddTree(const Tree& tree, const std::string& folder);

  struct Source {
    std::string path;     // or
    std::string content;  // if there is no path
    int64_t size_bytes = 0;
  };
  // Null: it has not.
  const Source* Find(const Digest& digest) const;
  void Add(const Digest& digest, Source source) { sources_.emplace(digest, std::move(source)); }

 private:
  absl::flat_hash_map<Digest, Source> sources_;
};

// Sends what the reply says is missing. Aborted: the connection was lost: ask again what is missing. DataLoss: a file
// has changed. ResourceExhausted: the node's disk is full.
absl::Status SendBlobs(AgentClient& client, const Prepared& prepared, const BlobSources& sources);

// Makes `destination` hold the tree: files of its own; from `cas` (may be null) what is there, the rest from the node.
absl::Status FetchTree(AgentClient& client, const Tree& tree, const std::string& destination, Cas* cas);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_AGENT_TRANSFER_H_
