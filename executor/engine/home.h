// Where everything lies:
//
//   <home>/cas/               storage and action cache (executor/cas)
//   <home>/memo.log           digests of the user's files
//   <home>/tools/             programs, by digest (tool_store.h)
//   <home>/runs/<run id>/     events.log; stages/<stage>/rank<r>.attempt<a>.log
//   <home>/latest/<pipeline>  symbolic link to the pipeline's last run
//   <home>/index/             which keys the stages of a pipeline had (stage_index.h)
//   <home>/pins/<name>        keys whose results are not collected (Pins)
//   <home>/leases/<run id>    locked while the run goes on: what it relies on is not collected (Lease)
//   <home>/work/<run id>/     working folders of running stages
//   <home>/jobs/<key>/        the same of gangs that outlive the executor, with a record to find them by
//   <home>/exposed/<digest>/  artifacts laid out as files, for people
//   <home>/uploads/           which results were sent to which shared cache
//   <home>/keys.lock          who makes which action (key_lock.h)
#ifndef MILLRACE_EXECUTOR_ENGINE_HOME_H_
#define MILLRACE_EXECUTOR_ENGINE_HOME_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "executor/cas/digest.h"

namespace millrace {

class Home {
 public:
  explicit Home(std::string folder) : folder_(std::move(folder)) {}

  std::string Cas() const { return folder_ + "/cas"; }
  std::string Memo() const { return folder_ + "/memo.log"; }
  std::string Tools() const { return folder_ + "/tools"; }
  std::string Runs() const { return folder_ + "/runs"; }
  std::string Run(const std::string& run_id) const { return Runs() + "/" + run_id; }
  std::string Latest(const std::string& pipeline) const { return folder_ + "/latest/" + pipeline; }
  std::string Index(const std::string& pipeline) const { return folder_ + "/index/" + pipeline + ".log"; }
  std::string Pins() const { return folder_ + "/pins"; }
  std::string Leases() const { return folder_ + "/leases"; }
  std::string Work(const std::string& run_id) const { return folder_ + "/work/" + run_id; }
  std::string Job(const std::string& key) const { return folder_ + "/jobs/" + key; }
  std::string Exposed() const { return folder_ + "/exposed"; }
  std::string Uploads() const { return folder_ + "/uploads"; }
  std::string KeyLocks() const { return folder_ + "/keys.lock"; }
  const std::string& folder() const { return folder_; }

  // Creates the folders. FailedPrecondition, ResourceExhausted: what to do is in the message.
  absl::Status Create() const;
  // Makes `Latest(pipeline)` point at the run.
  absl::Status PointLatest(const std::string& pipeline, const std::string& run_id) const;
  // The runs that latest/ points to.
  std::set<std::string> LatestRuns() const;
  // Removes the working folders and leases of runs that were killed.
  void CleanUp() const;

 private:
  std::string folder_;
};

// Names in a folder, in no order, without those that begin with "."; none if it cannot be read.
std::vector<std::string> FolderNames(const std::string& folder);

// "20261124-101500-ab12": UTC, and four random digits.
std::string NewRunId();

// Results that stay until their pin is removed: the run they are of, and their keys. A text file each: "run ID", then a
// key in hex a line.
struct Pin {
  std::string name;
  std::string run_id;
  std::vector<Digest> keys;

  // InvalidArgument: the name is not [A-Za-z0-9._-]+, or begins with ".".
  static absl::Status Write(const Home& home, const Pin& pin);
  // NotFound: there is none of that name.
  static absl::Status Remove(const Home& home, const std::string& name);
  // By name.
  static std::vector<Pin> All(const Home& home);
};

// Says that a run goes on, and which entries it relies on. Thread-safe.
class Lease {
 public:
  static absl::StatusOr<std::unique_ptr<Lease>> Take(const Home& home, const std::string& run_id);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  absl::Status Add(const std::vector<Digest>& keys);

  struct Held {
    std::string run_id;
    int64_t since_unix_micros = 0;
    std::vector<Digest> keys;
  };
  // Those of runs that go on. One that was not written yet is held since ever.
  static std::vector<Held> All(const Home& home);

 private:
  Lease(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  const std::string path_;
  const int fd_;
  std::mutex mutex_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_HOME_H_
