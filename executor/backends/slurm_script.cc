#include "executor/backends/slurm_script.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

// A stage's own limit is the node's program's to keep; the job may take this much longer.
constexpr double kSlackSeconds = 60;

// For /bin/sh.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// For a #SBATCH line's file name, where '%' and '\' mean something.
std::string Pattern(absl::string_view path) {
  return absl::StrCat("\"", absl::StrReplaceAll(path, {{"\\", "\\\\"}, {"\"", "\\\""}, {"%", "%%"}}), "\"");
}

const Pool* FindPool(const Cluster& cluster, absl::string_view name) {
  if (name.empty() && cluster.pool_size() > 0) return &cluster.pool(0);
  for (const Pool& pool : cluster.pool()) {
    if (pool.name() == name) return &pool;
  }
  return nullptr;
}

// At most.
int RanksPerNode(const SlurmRequest& request) { return (request.ranks + request.nodes - 1) / request.nodes; }

// Lengths are checked when the cluster file is loaded.
double Seconds(const std::string& text) { return ParseDurationSeconds(text).value_or(0); }

}  // namespace

absl::StatusOr<SlurmRequest> SlurmRequestFor(const GangSpec& spec, const Cluster& cluster) {
  const auto error = [&](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat("stage \"", spec.stage, "\": ", parts...));
  };
  const Pool* pool = FindPool(cluster, spec.pool);
  if (pool == nullptr) return error("cluster \"", cluster.name(), "\" has no pool \"", spec.pool, "\"");
  SlurmRequest request;
  request.partition = pool->partition();
  request.constraint = pool->constraint();
  request.nodes = std::max(1, spec.nodes);
  request.ranks = spec.ranks;
  request.cpus_per_rank = std::max(1, spec.cpus_per_rank);
  if (pool->has_max_nodes() && request.nodes > pool->max_nodes())
    return error("asks for ", request.nodes, " nodes of pool \"", pool->name(), "\", which has ", pool->max_nodes());
  const int ranks_per_node = RanksPerNode(request);
  const int cpus = ranks_per_node * request.cpus_per_rank;
  request.gpus_per_node = ranks_per_node * spec.gpus_per_rank;
  if (pool->has_cpus() && cpus > pool->cpus())
    return error("asks for ", cpus, " processors a node of pool \"", pool->name(), "\", which has ", pool->cpus());
  const int pool_gpus = pool->has_accelerator() ? pool->accelerator().count() : 0;
  if (request.gpus_per_node > pool_gpus)
    return error("asks for ", request.gpus_per_node, " GPUs a node of pool \"", pool->name(), "\", which has ",
                 pool_gpus);

  request.whole_node = pool_gpus > 0 ? request.gpus_per_node == pool_gpus : pool->has_cpus() && cpus == pool->cpus();
  if (spec.memory_bytes > 0) {
    request.whole_node = false;
    request.memory_mib = (spec.memory_bytes * ranks_per_node + (1 << 20) - 1) >> 20;
  } else if (!request.whole_node && pool->has_memory() && pool->has_cpus()) {
    double share = static_cast<double>(cpus) / pool->cpus();
    if (pool_gpus > 0) share = std::max(share, static_cast<double>(request.gpus_per_node) / pool_gpus);
    request.memory_mib =
        static_cast<int64_t>(share * static_cast<double>(ParseBytes(pool->memory()).value_or(0))) >> 20;
  }
  if (pool->has_max_nodes() && pool->has_cpus() && request.ranks == 1) {
    int fit = pool->cpus() / cpus;
    if (request.gpus_per_node > 0) fit = std::min(fit, pool_gpus / request.gpus_per_node);
    request.max_running = pool->max_nodes() * fit;
  }

  const double own = absl::ToDoubleSeconds(spec.time_limit + spec.grace) + kSlackSeconds;  // infinite: none
  const double job = pool->has_time_limit() ? Seconds(pool->time_limit()) : HUGE_VAL;
  if (std::min(own, job) != HUGE_VAL) request.minutes = static_cast<int64_t>(std::ceil(std::min(own, job) / 60));
  if (own > job || own == HUGE_VAL) {
    request.signal_seconds = static_cast<int64_t>(Seconds(cluster.slurm().signal_before_limit()));
    if (request.minutes > 0) request.signal_seconds = std::min(request.signal_seconds, request.minutes * 30);
  }
  return request;
}

std::string RenderSlurmScript(const SlurmRequest& request, const Slurm& slurm, absl::string_view name,
                              absl::string_view batch, absl::string_view program, int tasks,
                              const std::vector<std::string>& excluded_nodes) {
  std::string text = "#!/bin/sh\n";
  const auto option = [&](absl::string_view option, const auto& value) {
    absl::StrAppend(&text, "#SBATCH --", option, "=", value, "\n");
  };
  option("job-name", name);
  if (!slurm.account().empty()) option("account", slurm.account());
  if (!slurm.qos().empty()) option("qos", slurm.qos());
  if (!slurm.reservation().empty()) option("reservation", slurm.reservation());
  if (!request.partition.empty()) option("partition", request.partition);
  if (!request.constraint.empty()) option("constraint", absl::StrCat("\"", request.constraint, "\""));
  if (!excluded_nodes.empty()) option("exclude", absl::StrJoin(excluded_nodes, ","));
  option("nodes", request.nodes);
  option("ntasks", request.ranks);
  option("ntasks-per-node", RanksPerNode(request));
  option("cpus-per-task", request.cpus_per_rank);
  if (request.gpus_per_node > 0) option("gres", absl::StrCat("gpu:", request.gpus_per_node));
  if (request.memory_mib > 0) option("mem", absl::StrCat(request.memory_mib, "M"));
  if (request.whole_node) option("mem", 0);
  if (request.minutes > 0) option("time", request.minutes);
  if (request.signal_seconds > 0) option("signal", absl::StrCat("B:TERM@", request.signal_seconds));
  absl::StrAppend(&text, "#SBATCH --no-requeue\n");
  if (tasks > 1) {
    const bool bounded = request.max_running > 0 && request.max_running < tasks;
    option("array", absl::StrCat("0-", tasks - 1, bounded ? absl::StrCat("%", request.max_running) : ""));
  }
  option("chdir", absl::StrCat("\"", batch, "\""));
  option("output", Pattern(JoinPath(batch, "job.out")));
  absl::StrAppend(&text, "#SBATCH --open-mode=append\n\n");

  absl::StrAppend(&text, "node=", Quoted(program), "\nbatch=", Quoted(batch), "\n");
  absl::StrAppend(&text,
                  "[ -x \"$node\" ] || { echo \"$SLURMD_NODENAME does not see $node\" >&2; exit 97; }\n"
                  "exec \"$node\" run \"$batch\"");
  if (request.ranks > 1) {
    absl::StrAppend(&text, " \\\n  srun --nodes=", request.nodes, " --ntasks=", request.ranks,
                    " --ntasks-per-node=", RanksPerNode(request), " --cpus-per-task=", request.cpus_per_rank,
                    " --distribution=block \\\n  --mpi=none --kill-on-bad-exit=0 --wait=0",
                    request.gpus_per_node > 0 ? absl::StrCat(" --gres=gpu:", request.gpus_per_node) : "",
                    " \"$node\" rank");
  }
  return text + "\n";
}

absl::StatusOr<std::string> DryRunSlurmScript(const GangSpec& spec, const Cluster& cluster) {
  ASSIGN_OR_RETURN(const SlurmRequest request, SlurmRequestFor(spec, cluster));
  const std::string folder = JoinPath(cluster.storage().shared_path(), "slurm");
  const std::string name = absl::StrCat("millrace-", spec.id.empty() ? spec.stage : spec.id);
  return RenderSlurmScript(request, cluster.slurm(), name, JoinPath(folder, name), JoinPath(folder, "slurm_node"), 1);
}

}  // namespace millrace
