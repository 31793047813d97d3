// What every backend must do, as tests: link this library into a test that defines MakeBed().
#ifndef MILLRACE_TESTS_BACKENDS_CONFORMANCE_H_
#define MILLRACE_TESTS_BACKENDS_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "executor/backends/backend.h"

namespace millrace {

// What can go wrong with the node that a gang is on, or is sent to.
enum class Fault {
  kNodeLost,           // it is gone with all that ran on it
  kConnectionDropped,  // and can be made again at once
  kNodeHangs,          // nothing answers; stages go on
  kUnknownNode,        // no such name
  kLoginRefused,
  kIdentityChanged,  // it is not the machine that it was: a new host key
  kDiskFull,
};

// One place where stages run. All of it is on this machine: scripts see its files and processes.
class BackendBed {
 public:
  virtual ~BackendBed() = default;

  // Not empty: there can be no such bed here, because...; the tests are skipped.
  virtual std::string skip_reason() const { return ""; }
  // A backend as an executor makes it when it starts. Also called in a child process, which is then killed.
  virtual absl::StatusOr<std::unique_ptr<Backend>> Make() = 0;
  // For GangSpec.hosts: tests put ranks on the first ones and break the last. Empty: the backend has no use for them.
  virtual std::vector<std::string> hosts() const { return {}; }
  // An empty folder in which working folders are made: where the backend's nodes see the same files, one that they see.
  virtual std::string folder() const = 0;

  // Makes the last of hosts() fail so and returns what undoes it (called before the next test). Null: there is no such
  // fault here.
  virtual std::function<void()> Inject(Fault fault) { return nullptr; }

  int short_gangs = 200;  // how many are run, on `submitters` threads
  int submitters = 8;
  bool bounds_memory = true;                            // GangSpec.memory_bytes
  absl::Duration time_limit = absl::Milliseconds(300);  // the shortest that is kept
  absl::Duration patience = absl::Seconds(60);          // for a gang that does nothing long
};

// Defined by the test of each backend. Called once.
std::unique_ptr<BackendBed> MakeBed();

}  // namespace millrace

#endif  // MILLRACE_TESTS_BACKENDS_CONFORMANCE_H_
