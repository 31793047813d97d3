// The batch script of a gang, or of an array of gangs of one rank each that ask for the same.
#ifndef MILLRACE_EXECUTOR_BACKENDS_SLURM_SCRIPT_H_
#define MILLRACE_EXECUTOR_BACKENDS_SLURM_SCRIPT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/backends/backend.h"
#include "pipelines/schema/cluster.pb.h"

namespace millrace {

// What a job asks Slurm for.
struct SlurmRequest {
  std::string partition, constraint;  // empty: the cluster's default
  int nodes = 1;
  int ranks = 1;
  int cpus_per_rank = 1;
  int gpus_per_node = 0;
  // Per node. A stage that bounds its memory gets that; else, where the pool says what a node has, a share as its cpus
  // or gpus: without, many clusters give a job all of a node's memory. 0: the cluster's default; all of it: whole_node.
  int64_t memory_mib = 0;
  bool whole_node = false;
  int64_t minutes = 0;         // 0: the partition's default
  int64_t signal_seconds = 0;  // SIGTERM so long before; 0: none (the stage's own limit comes first)
  int max_running = 0;         // tasks of an array at a time, by the pool's max_nodes; 0: any number

  bool operator==(const SlurmRequest&) const = default;
};

// InvalidArgument: no such pool, more than it has.
absl::StatusOr<SlurmRequest> SlurmRequestFor(const GangSpec& spec, const Cluster& cluster);

// `name` is the job's, `batch` the folder in slurm_node_files.h's table, `program` slurm_node's path on the nodes,
// `tasks` the array's size (1: no array).
std::string RenderSlurmScript(const SlurmRequest& request, const Slurm& slurm, absl::string_view name,
                              absl::string_view batch, absl::string_view program, int tasks,
                              const std::vector<std::string>& excluded_nodes = {});

// What `--dry-run` prints: the script that would be given to sbatch for this gang alone.
absl::StatusOr<std::string> DryRunSlurmScript(const GangSpec& spec, const Cluster& cluster);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_SLURM_SCRIPT_H_
