// Which machines a gang gets, and in which order stages get them. Pure functions of what they are told: the same
// pipeline on the same free machines is placed the same.
#ifndef MILLRACE_EXECUTOR_ENGINE_PLACEMENT_H_
#define MILLRACE_EXECUTOR_ENGINE_PLACEMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "executor/graph/resolved_pipeline.h"
#include "pipelines/schema/cluster.pb.h"

namespace millrace {

struct GangNeeds {
  int ranks = 1;
  int cpus_per_rank = 1;
  bool whole_machines = false;  // all processors of the machines that it is on
  int gpus_per_rank = 0;
  int64_t memory_bytes = 0;  // of each rank; 0: not said
  bool is_training = false;  // goes where the pipeline's numerics class comes from
};

GangNeeds NeedsOf(const ResolvedPipeline& pipeline, const ResolvedStage& stage);

struct Placement {
  std::string pool;                // "": this machine
  std::vector<std::string> hosts;  // of each rank, side by side; empty where somebody else chooses (Slurm), or here
  int nodes = 1;
  int cpus_per_rank = 1;
  int gpus_per_rank = 0;

 private:
  friend class Machines;
  struct Share {
    int machine = 0;
    int cpus = 0, gpus = 0;
    int64_t memory_bytes = 0;
  };
  std::vector<Share> shares;
};

// What is free. Not thread-safe.
class Machines {
 public:
  static Machines OfThisMachine(int cpus);
  // Pools of hosts are given away by this class; a pool without hosts has a queue of its own (Slurm), and takes all.
  static Machines OfCluster(const Cluster& cluster);

  // Ranks go side by side on as few machines as hold them. Absent: not now. FailedPrecondition: never, with what there
  // is. Processors may be fewer than asked for, as on a laptop; GPUs may not.
  absl::StatusOr<absl::optional<Placement>> Take(const GangNeeds& needs);
  void GiveBack(const Placement& placement);
  // Whether a Take() of anything may succeed.
  bool any_free() const;
  // Stages that can be under way at a time at most.
  int max_gangs() const;
  // The pool that a gang with these needs goes to.
  const std::string& PoolOf(const GangNeeds& needs) const { return pools_[ChoosePool(needs)].name; }

 private:
  struct Machine {
    std::string host;
    int cpus = 1, gpus = 0;
    int64_t memory_bytes = 0;  // 0: not known
    int free_cpus = 1, free_gpus = 0;
    int64_t free_memory_bytes = 0;
  };
  struct PoolOfMachines {
    std::string name;
    int first = 0, count = 0;  // in machines_
    bool has_queue = false;    // one machine stands for each node
    int max_nodes = 0;         // with a queue; 0: no bound
    bool has_accelerators = false;
  };

  int ChoosePool(const GangNeeds& needs) const;
  absl::optional<Placement> TakeFrom(const PoolOfMachines& pool, const GangNeeds& needs, bool of_free);

  std::vector<PoolOfMachines> pools_;
  std::vector<Machine> machines_;
  int max_in_queue_ = 0;
};

// For each stage the seconds from its start to the end of all that waits for it, along the longest way: what starts
// first shortens the run most. `seconds[i]`: of stage i alone; 0: not known, counted as a little.
std::vector<double> CriticalPathSeconds(const ResolvedPipeline& pipeline, const std::vector<double>& seconds);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_PLACEMENT_H_
