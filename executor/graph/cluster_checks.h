// What must hold of a cluster file beyond its fields' own bounds: hosts where the launcher needs them, a folder that
// all nodes see for Slurm, and an environment whose variables do what they seem to.
#ifndef MILLRACE_EXECUTOR_GRAPH_CLUSTER_CHECKS_H_
#define MILLRACE_EXECUTOR_GRAPH_CLUSTER_CHECKS_H_

#include "base/diagnostic.h"
#include "executor/graph/syntax_tree.h"

namespace millrace {

// `cluster`: a Cluster message, values as written.
void CheckCluster(const Node& cluster, const Sources& sources, Diagnostics& diagnostics);

// One `variable` of Cluster.environment. What names and values mean is that of NCCL 2.30's user guide and source
// (net_ib: timeout and retry count are five and three bits), of Gloo and of PyTorch's process groups.
void CheckVariable(const Node& variable, const Sources& sources, Diagnostics& diagnostics);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_CLUSTER_CHECKS_H_
