// One run of a pipeline: which stages are there, which run, in which order, and what is said about it.
#ifndef MILLRACE_EXECUTOR_ENGINE_RUN_H_
#define MILLRACE_EXECUTOR_ENGINE_RUN_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "executor/backends/local.h"
#include "executor/engine/decide.h"
#include "executor/engine/engine.h"
#include "executor/engine/home.h"
#include "executor/engine/key_lock.h"
#include "executor/engine/placement.h"
#include "executor/engine/run_log.h"
#include "executor/engine/stage_attempt.h"
#include "executor/engine/work_folders.h"

namespace millrace {

// Used once. Execute() is called from one thread, which is the one that events are handed on from; stages are driven by
// up to `jobs` threads of its own.
class PipelineRun {
 public:
  PipelineRun(Store& store, const ResolvedPipeline& pipeline, const EngineOptions& options, int jobs,
              const std::atomic<int>& interrupts, const EventSink& sink);
  ~PipelineRun();

  // Cancelled: interrupted before anything ran.
  absl::StatusOr<RunResult> Execute();

 private:
  struct Stage {
    StageState state = WAITING;
    int waits_for = 0;  // producers that are not there yet
    Decision decision;
    bool decided = false;
    bool known = false;  // there is an entry: decision.entry
    bool counted_cached = false;
    bool made_here = false;
    bool rebuilt = false;  // runs again because its bytes were gone
    int attempt = 0;
  };

  absl::Status CheckResolved() const;
  absl::Status Begin();
  // Decides on all that can be decided before anything runs.
  absl::Status DecideAll();
  absl::Status DecideStage(int i);
  // Decides on a stage, and with --locked refuses files that are not what their lock says. Under a Cas::Hold.
  absl::StatusOr<Decision> DecideOn(int i, const std::vector<const ActionEntry*>& producers,
                                    const DecideOptions& options);
  // The same in the middle of the run, with a Hold and a note of what differs; the lock is open meanwhile.
  absl::StatusOr<Decision> DecideNow(int i, const DecideOptions& options, std::unique_lock<std::mutex>& lock);
  std::string LockNote(int i, const Decision& decision) const;
  void MarkNeeded();
  void SettleCached(std::unique_lock<std::mutex>& lock);
  absl::Status InstallTools();
  absl::StatusOr<RunResult> Finish();

  // The one function that changes a stage's state. Under mutex_.
  void Transition(int i, StageState state, StageChanged details = {});
  void Note(std::string text);
  void Emit(RunEvent event);
  void PassOnEvents(std::unique_lock<std::mutex>& lock);

  void Work();
  // The first ready stage that a machine is free for, with its place; -1: none.
  int TakeReady(Placement& placement);
  void RunStage(int i, const Placement& placement, std::unique_lock<std::mutex>& lock);
  void RankStages();
  void Complete(int i, StageState state, ActionEntry entry, std::unique_lock<std::mutex>& lock);
  void Fail(int i, const AttemptResult& result);
  void FailUndecided(int i, const absl::Status& status);
  void Release(int i, std::unique_lock<std::mutex>& lock);
  void MakeReady(int i);
  void SkipConsumers(int i);
  void Rebuild(int consumer, int producer);
  void CompleteCached(int i, std::unique_lock<std::mutex>& lock);

  // What others have or make: run_shared.cc. Those of a stage return whether it has come to an end, or is to be left.
  bool FetchInstead(int i, std::unique_lock<std::mutex>& lock);
  bool FetchState(int i, std::unique_lock<std::mutex>& lock);
  // `shown`: as the stage's running. NotFound: the caches do not have it.
  absl::Status Fetch(int i, const std::vector<Digest>& trees, double seconds, bool shown,
                     std::unique_lock<std::mutex>& lock);
  bool LeaveToOthers(int i, absl::optional<KeyLock::Held>& held, std::unique_lock<std::mutex>& lock);
  void TakeCacheNotes();
  void FinishUploads();

  std::vector<const ActionEntry*> Producers(int i) const;
  // The outputs of the producers as they are now: while the lock is open one of them may run again.
  struct ProducerOutputs {
    std::vector<ActionEntry> entries;
    std::vector<const ActionEntry*> pointers;
  };
  ProducerOutputs CopyOutputs(int i) const;
  bool Forced(int i) const { return options_.force.contains(pipeline_.stages[i].name); }
  DecideOptions OptionsFor(int i) const {
    return {.force = Forced(i), .record_of_cached = stages_.size() <= kMaxKeyRecords};
  }

  Store& store_;
  const ResolvedPipeline& pipeline_;
  const EngineOptions& options_;
  const int jobs_;
  const std::atomic<int>& interrupts_;
  const EventSink& sink_;

  std::string run_id_, run_folder_;
  std::unique_ptr<RunLogWriter> log_;
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<KeyLock> key_lock_;
  std::unique_ptr<WorkFolders> work_folders_;  // outlives the gangs in it
  LocalBackend backend_;
  RunContext context_;
  std::vector<std::vector<int>> consumers_;
  std::vector<std::string> notes_;  // of what was decided before the log was there
  absl::Time started_at_;

  std::mutex mutex_;
  std::condition_variable work_;     // a stage is ready or has ended
  std::condition_variable settled_;  // all are
  std::vector<Stage> stages_;
  std::vector<RunEvent> events_;            // not handed on yet
  std::set<std::pair<double, int>> ready_;  // what takes longest to the end first: (-seconds, index)
  int num_unsettled_ = 0;
  Machines machines_;
  std::vector<double> seconds_to_end_;  // by stage: on the longest way
  int num_running_ = 0;
  int exit_status_ = 0;
  bool log_failed_ = false;
  std::atomic<int> stop_ = 0;
};

// READY, RUNNING and WAITING stages are still to come to an end.
bool IsSettled(StageState state);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_RUN_H_
