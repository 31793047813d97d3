// One attempt at one stage: lay the inputs out, start the gang, take what it reports, publish what it made.
#ifndef MILLRACE_EXECUTOR_ENGINE_STAGE_ATTEMPT_H_
#define MILLRACE_EXECUTOR_ENGINE_STAGE_ATTEMPT_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "executor/backends/backend.h"
#include "executor/cas/entry.pb.h"
#include "executor/engine/decide.h"
#include "executor/engine/placement.h"
#include "executor/engine/work_folders.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

// What all attempts of a run share. What it points to outlives it.
struct RunContext {
  Store* store = nullptr;
  Backend* backend = nullptr;
  WorkFolders* work_folders = nullptr;
  const ResolvedPipeline* pipeline = nullptr;
  std::string run_id;
  std::string run_folder;
  const std::atomic<int>* stop = nullptr;  // 0: go on; 1: end the gang in order; 2: kill it
};

struct AttemptResult {
  enum class Outcome {
    kComplete,
    kGateFailed,    // outputs are published, a gate does not hold
    kFailed,        // see `status`; another attempt may help if `retry`
    kInputChanged,  // a file of the user's changed meanwhile: decide again
    kInputGone,     // a producer's bytes are not there: `gone_producer` must run again
    kLost,          // machines were taken back, or lost: not its failure, go on from its checkpoints
    kStopped,       // because of RunContext::stop
  };
  Outcome outcome = Outcome::kFailed;
  ActionEntry entry;
  absl::Status status;
  bool retry = false;
  bool machine_failed = false;  // full disk, lost supervisor: not the stage's doing
  int gone_producer = -1;
  std::string log_path;               // of the rank to look at; relative to the run's folder
  std::vector<std::string> log_tail;  // its last lines
};

// Called from the thread of the attempt; `segment` with the event of a checkpoint that was taken over.
using ReportSink = std::function<void(int rank, const StageEvent& event, const SegmentEntry* segment)>;

// `producer` as for Decide(). Blocks until the gang has ended.
AttemptResult RunAttempt(const RunContext& context, int stage_index, const Decision& decision,
                         const std::vector<const ActionEntry*>& producer, const Placement& placement, int attempt,
                         const ReportSink& report);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_STAGE_ATTEMPT_H_
