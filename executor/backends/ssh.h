// Stages on hosts that OpenSSH's own client reaches. An agent on each host (executor/agent) keeps gangs alive while the
// connection is away, and ends them when nobody has come back for the time to live.
//
// A host needs a shell and glibc. What it lacks is sent, once: the agent, tools with their shared libraries, inputs;
// what a gang made comes back before its result, and stays on the host for the next stage there.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SSH_H_
#define MILLRACE_EXECUTOR_BACKENDS_SSH_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "executor/backends/agent_client.h"
#include "executor/backends/agent_transfer.h"
#include "executor/backends/backend.h"
#include "executor/cas/cas.h"

namespace millrace {

struct SshBackendOptions {
  AgentClientOptions client;
  std::vector<SshHost> hosts;  // those that ssh knows by another address or port than their name's
  std::string agent_path;      // of the program millrace-agent (executor/agent) on this machine
  Cas* cas = nullptr;          // what is there is not fetched; outlives the backend
  // The hosts see working folders and tools below it as this machine does: nothing is sent or fetched.
  std::string shared_path;
  // Where ranks meet; empty and 0: the address or name of rank 0's host, and a port that is free there.
  std::string master_address;
  int master_port = 0;
};

// Errors as ExplainSsh() and of transfers. GangSpec.hosts names the host of every rank; the first rank of a gang meets
// the others on its host. A gang on several hosts ends on all of them when a rank fails on one; its outputs are the
// union of theirs (FailedPrecondition: two made different files of one name).
class SshBackend : public Backend {
 public:
  // NotFound: there is no such agent.
  static absl::StatusOr<std::unique_ptr<SshBackend>> Make(SshBackendOptions options);

  absl::StatusOr<std::unique_ptr<Gang>> Submit(const GangSpec& spec) override;
  bool gangs_outlive_executor() const override { return true; }
  absl::StatusOr<std::unique_ptr<Gang>> Adopt(const GangSpec& spec) override;

 private:
  friend class SshGang;
  struct Part;
  // The libraries of a program, as a tree that can be sent.
  struct Libraries {
    Tree tree;
    Digest digest;
    BlobSources sources;
  };

  explicit SshBackend(SshBackendOptions options) : options_(std::move(options)) {}
  AgentClient& ClientOf(const std::string& host);
  absl::StatusOr<std::vector<Part>> Divide(const GangSpec& spec);
  absl::StatusOr<const Libraries*> LibrariesOf(const GangSpec& spec);
  absl::Status PrepareAll(const GangSpec& spec, std::vector<Part>& parts);
  absl::Status Prepare(Part& part, const BlobSources& sources);
  bool IsShared(const GangSpec& spec) const;

  const SshBackendOptions options_;
  AgentProgram agent_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<AgentClient>> clients_;
  std::map<std::pair<std::string, std::string>, Libraries> libraries_;  // by program and its folder
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SSH_H_
