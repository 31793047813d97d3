// What a run will take, before it runs: how long, and how much disk. `plan` and the first line of `run` both ask here.
//
// What ran here before is taken from its record, unless that is of quite another size (a profile's). What did not is
// guessed: a data stage from its kind and the bytes of text that reach it, training from the roofline that `plan
// --cluster` uses (trainer/plan/roofline.h), with this machine's cores. A guess is good to a factor of two or so.
#ifndef MILLRACE_EXECUTOR_CLI_ESTIMATE_H_
#define MILLRACE_EXECUTOR_CLI_ESTIMATE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "executor/engine/engine.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/tool_manifest.h"

namespace millrace {

struct StageEstimate {
  enum class Basis {
    kNone,      // cached: nothing is to be done
    kMeasured,  // an earlier run's
    kGuessed,
    kUnknown,  // a `custom` stage that never ran here, or one whose files are not known
  };
  Basis basis = Basis::kNone;
  double seconds = 0;  // of what is left of it
  double bytes = 0;    // of its outputs, and of the checkpoints that training writes
};

struct RunEstimate {
  std::vector<StageEstimate> stages;  // by stage index
  double seconds = 0;                 // from the first start to the last end
  double disk_bytes = 0;              // results, and copies of programs
  int guessed = 0, unknown = 0;       // stages
};

struct EstimateOptions {
  int cpus = 1;                             // processors given to stages
  const ToolManifest* new_tools = nullptr;  // programs that are not in the home yet, and are copied there
  // Where a cluster is named: what training takes there, by stage. Stages without an entry are not known.
  const std::map<std::string, double>* training_seconds = nullptr;
};

// `plans` are by stage index.
RunEstimate EstimateRun(const ResolvedPipeline& pipeline, const std::vector<StagePlan>& plans,
                        const EstimateOptions& options);

// "about 3 min, 810 MiB of disk"; "" where nothing is to run or nothing is known.
std::string EstimateText(const RunEstimate& estimate);
// "3 min", "40 s", "5 days": no more than an estimate can say.
std::string RoughTime(double seconds);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_ESTIMATE_H_
