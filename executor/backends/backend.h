// Where stages run: one interface, "run this gang there". A gang is the processes of one stage's attempt; they start
// together, and when one fails the others are ended.
//
// What a backend must do (tests/backends has the list in code): start every rank with the given
// arguments, working folder and exactly the given environment; write each rank's output to its log; hand on the events
// that ranks append to their events files; end the gang at its time limit and on request, SIGTERM first; say of each
// rank how it ended; and leave no process behind, also when the executor is killed.
#ifndef MILLRACE_EXECUTOR_BACKENDS_BACKEND_H_
#define MILLRACE_EXECUTOR_BACKENDS_BACKEND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "executor/cas/tree.h"
#include "pipelines/protocol/stage.pb.h"

namespace millrace {

// A folder that is there before the gang starts, by content: what a backend for other machines sends.
struct StagedFolder {
  std::string path;  // relative to the working folder: "in/from.0"; absolute for a tool
  Tree tree;
  // The program is known to leave its inputs alone: it may be given a storage's own files. Else it gets copies.
  bool may_link = false;
};

// The place of some ranks in a gang that several machines share; set by a backend that hands parts of gangs to others.
struct GangShare {
  int first_rank = 0;
  int world_size = 0;
  int node_rank = 0;
  std::string master_address;
  int master_port = 0;
};

struct GangSpec {
  std::string stage;                     // for messages
  std::string id;                        // names the gang for ever, across executors: [0-9a-z-]
  std::string work_folder;               // absolute; every rank's working directory
  std::vector<std::string> argument;     // argument[0]: absolute path of the program
  std::vector<std::string> environment;  // "NAME=value"; MILLRACE_GANG and MILLRACE_EVENTS are the backend's to add
  int ranks = 1;
  // Written for each rank to MILLRACE_GANG ("gang.json", "gang.1.json"...), with rank and address filled in.
  StageGang gang;
  // Also MASTER_ADDR, MASTER_PORT, RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, GROUP_RANK and NODE_RANK (of the
  // node).
  bool torchrun_variables = false;
  std::vector<std::string> log_path;  // of each rank; absolute; its folder exists
  absl::Duration time_limit = absl::InfiniteDuration();
  absl::Duration grace = absl::Seconds(10);  // between SIGTERM and SIGKILL
  int64_t memory_bytes = 0;                  // address space of each rank; 0: no bound

  // Where it runs; the local backend reads none of it.
  std::string pool;                // of the cluster file
  std::vector<std::string> hosts;  // ssh: of each rank, host names of the pool, those of one host side by side
  int nodes = 1;                   // slurm: ranks are spread over so many
  int cpus_per_rank = 1;
  int gpus_per_rank = 0;

  // For nodes that do not see the working folder. Beside these folders, what it holds are small files.
  std::vector<StagedFolder> inputs;
  std::vector<std::string> outputs;   // "out/documents": empty folders; the gang's result is what is in them
  absl::optional<StagedFolder> tool;  // where argument[0] lies

  absl::optional<GangShare> share;  // absent: these are all ranks
};

struct RankResult {
  int exit_status = -1;  // -1: ended by a signal
  int signal = 0;
  int64_t peak_memory_bytes = 0;
  double cpu_seconds = 0;
};

struct GangResult {
  enum class Outcome {
    kEnded,       // by itself: see the ranks
    kTimedOut,    // the time limit was reached
    kCancelled,   // Cancel() or Kill() ended it
    kNotStarted,  // a rank could not be started: `message`
    // Neither is the stage's failure: what goes on from its checkpoints is submitted again, anything else starts anew.
    kPreempted,  // the cluster took its machines back
    kTimeSlice,  // it was asked to end before the limit of what one job may take (not its own time limit)
  };
  Outcome outcome = Outcome::kEnded;
  std::string message;         // what the cluster says about it: "job 17 was cancelled by user 1000"; may be empty
  int first_failed_rank = -1;  // the one that ended first with something else than 0; -1: none
  std::vector<RankResult> rank;
  double seconds = 0;
};

// One gang that was submitted. Used by one thread; Cancel() and Kill() may come from others. A destroyed gang is
// killed.
class Gang {
 public:
  using EventSink = std::function<void(int rank, const StageEvent& event)>;

  virtual ~Gang() = default;
  // Hands on events that have come, and waits up to `wait` for the end. Once there is a result, all events are out.
  // Before an event that names a path below the working folder is handed on, and before there is a result, what is
  // there is in `work_folder` here. Unavailable: the machine, or what watches the gang there, is gone.
  virtual absl::StatusOr<absl::optional<GangResult>> Wait(absl::Duration wait, const EventSink& sink) = 0;
  virtual void Cancel() = 0;  // SIGTERM, and SIGKILL after the grace
  virtual void Kill() = 0;
  // While others are still being ended: the rank that failed first, or -1.
  virtual int failed_rank() const { return -1; }
};

// Thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  // InvalidArgument: too long a command or environment. Unavailable: the backend cannot be reached.
  virtual absl::StatusOr<std::unique_ptr<Gang>> Submit(const GangSpec& spec) = 0;

  // Backends whose gangs go on without the executor: submitting one with an id that is there already is the caller's
  // error, and an executor that starts again asks for it first. Its events are handed on from the first one.
  virtual bool gangs_outlive_executor() const { return false; }
  // Null: there is no such gang, or what is known of it is of no use any more.
  virtual absl::StatusOr<std::unique_ptr<Gang>> Adopt(const GangSpec& spec) { return nullptr; }
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_BACKEND_H_
