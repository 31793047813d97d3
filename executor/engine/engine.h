// Runs a pipeline's stages: looks keys up, starts gangs on a backend, publishes what they made, records what happened.
#ifndef MILLRACE_EXECUTOR_ENGINE_ENGINE_H_
#define MILLRACE_EXECUTOR_ENGINE_ENGINE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "executor/cas/entry.pb.h"
#include "executor/cas/remote/http_cache.h"
#include "executor/cas/remote/remote_store.h"
#include "executor/engine/bundle.h"
#include "executor/engine/home_gc.h"
#include "executor/engine/run_event.pb.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/tool_manifest.h"
#include "pipelines/schema/cluster.pb.h"

namespace millrace {

// Of this program: what `--version` says and what runs record.
inline constexpr char kVersion[] = "0.1.0";

struct EngineOptions {
  std::string home;                     // cache, tools, runs, work; created if absent
  int jobs = 0;                         // processors given to stages at a time; 0: all of this machine
  absl::optional<Cluster> cluster;      // where stages run, with a launcher; absent: here
  bool keep_going = false;              // after a failure what does not need the failed stage runs all the same
  std::set<std::string> force;          // stages that run although they are cached
  bool locked = false;                  // a lock file that does not match is an error, not a warning
  std::vector<HttpCacheConfig> caches;  // shared ones, asked in this order after the home's own
  std::vector<std::string> arguments;   // for the record
};

// Pipelines with more stages than this leave the key records of cached stages out, of plans and of events: they would
// take longer than all the rest.
inline constexpr size_t kMaxKeyRecords = 1000;

// What `plan` and `explain` show; computed by the code that `run` decides with.
struct StagePlan {
  enum class Status { kCached, kRun, kBlocked };  // kBlocked: something before it must run first
  Status status = Status::kBlocked;
  absl::optional<std::string> key;  // hex; unknown while blocked
  absl::optional<KeyRecord> key_record;
  absl::optional<ActionEntry> entry;  // if cached; without `key`
  // Nearest earlier record of a stage of this name and kind, for "what changed"; absent: never ran here.
  absl::optional<KeyRecord> previous;
  std::string
      reason;  // "cached", "new: no result of it yet", "learning_rate changed: 0.002 -> 0.003", "forced", "waits for x"
  // Train: the chain's longest recorded prefix.
  int64_t resume_step = 0;
  int64_t total_steps = 0;
  std::string prefix_reason;           // "step 264 would use learning rate 1.26e-3 instead of 4.00e-3"
  double expected_seconds = 0;         // duration of the nearest earlier entry; 0: unknown
  int64_t expected_bytes = 0;          // of its outputs
  absl::optional<RemotePlace> remote;  // cached; its bytes, which are needed, come from there
};

struct RunResult {
  int exit_status = 0;  // DESIGN.md: 0, 1 a stage failed, 3 the machine failed, 4 a gate failed, 130 interrupted
  std::string run_id;
  std::string run_folder;                      // <home>/runs/<run_id>
  std::map<std::string, ActionEntry> entries;  // of stages that are there, by name; without `key`
  // The run's working folders, removed when this is, and its lease, let go after them: until then its results are not
  // collected. Some file systems (ext4) are slow to make a file where a thousand have just been removed: make what you
  // have to make first.
  std::shared_ptr<void> work_folders;
};

// Called in order, from one thread.
using EventSink = std::function<void(const RunEvent&)>;

class Engine {
 public:
  // FailedPrecondition, ResourceExhausted: the home cannot be used, with what to do.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options, const ToolManifest* manifest);
  virtual ~Engine() = default;

  // By stage index. Looks only; writes nothing but the memo of digests.
  virtual absl::StatusOr<std::vector<StagePlan>> Plan(const ResolvedPipeline& pipeline) = 0;

  // Runs until everything is there, something failed (what runs is ended, what is whole is kept) or Interrupt().
  // Errors are those of the executor itself; a failed stage is in the result. Cancelled: interrupted before anything
  // ran.
  virtual absl::StatusOr<RunResult> Run(const ResolvedPipeline& pipeline, const EventSink& sink) = 0;

  // From a signal handler, or another thread: once is orderly (SIGTERM, wait, publish what is whole; before anything
  // runs, reading of inputs ends), twice kills. For good: no Run() of this engine goes on after it.
  virtual void Interrupt() = 0;

  // Makes `path` a symbolic link (or folder of links) to the artifact's files for reading.
  virtual absl::Status Expose(const OutputTree& tree, const std::string& path) = 0;
  // Folder with the artifact's files, read-only, for `show`: NotFound if the bytes are gone.
  virtual absl::StatusOr<std::string> Materialize(const OutputTree& tree) = 0;

  // Writes the lock files that the pipeline's inputs name, as the files are now. Returns their paths.
  virtual absl::StatusOr<std::vector<std::string>> WriteLocks(const ResolvedPipeline& pipeline) = 0;

  // What is not needed any more, as home_gc.h says.
  virtual absl::StatusOr<HomeGcReport> CollectGarbage(const HomeGcOptions& options) = 0;
  // Keeps the results of a run, under a name. NotFound: there is no such run. Returns how many they are.
  virtual absl::StatusOr<int> PinRun(const std::string& name, const std::string& run_id) = 0;
  // NotFound: there is none of that name.
  virtual absl::Status RemovePin(const std::string& name) = 0;

  // Writes a run with all results it has to one file (bundle.h), and takes such a file in: what is in there is cached
  // from then on. DataLoss: the file is damaged; what was whole has been taken.
  virtual absl::StatusOr<BundleReport> Export(const std::string& run_id, const std::string& path) = 0;
  virtual absl::StatusOr<BundleReport> Import(const std::string& path) = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_ENGINE_H_
