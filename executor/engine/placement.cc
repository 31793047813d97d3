#include "executor/engine/placement.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

// Of a stage that never ran.
constexpr double kUnknownSeconds = 1e-3;

int CeilDivide(int a, int b) { return (a + b - 1) / b; }

int64_t BytesOf(const std::string& plain_number) {
  int64_t bytes = 0;
  return absl::SimpleAtoi(plain_number, &bytes) ? bytes : 0;
}

}  // namespace

GangNeeds NeedsOf(const ResolvedPipeline& pipeline, const ResolvedStage& stage) {
  GangNeeds needs;
  needs.ranks = stage.ranks;
  needs.cpus_per_rank = std::max(1, stage.threads_per_rank);
  // What a pipeline waits for, one after the other, gets all processors; corpora are read side by side.
  static constexpr absl::string_view kUseAll[] = {"dedup",    "filter",   "split", "train_tokenizer",
                                                  "tokenize", "evaluate", "train"};
  needs.whole_machines = stage.threads_per_rank == 0 && absl::c_linear_search(kUseAll, stage.kind);
  if (stage.execution.has_cpus()) {
    needs.whole_machines = false;
    needs.cpus_per_rank = CeilDivide(stage.execution.cpus(), stage.ranks);
  }
  needs.memory_bytes = BytesOf(stage.execution.memory());
  needs.is_training = stage.uses_floating_point;
  if (needs.is_training && pipeline.numerics >= CUDA_SM80) needs.gpus_per_rank = 1;
  return needs;
}

Machines Machines::OfThisMachine(int cpus) {
  Machines machines;
  machines.pools_.push_back({"", 0, 1, false, 0, false});
  Machine& machine = machines.machines_.emplace_back();
  machine.cpus = machine.free_cpus = cpus;
  return machines;
}

Machines Machines::OfCluster(const Cluster& cluster) {
  Machines machines;
  for (const Pool& pool : cluster.pool()) {
    PoolOfMachines& added = machines.pools_.emplace_back();
    added.name = pool.name();
    added.first = static_cast<int>(machines.machines_.size());
    added.has_queue = pool.host().empty();
    added.max_nodes = pool.max_nodes();
    added.has_accelerators = pool.has_accelerator();
    added.count = std::max(1, pool.host_size());
    for (int i = 0; i < added.count; ++i) {
      Machine& machine = machines.machines_.emplace_back();
      if (i < pool.host_size()) machine.host = pool.host(i).name();
      machine.cpus = machine.free_cpus = std::max(1, pool.cpus());
      machine.gpus = machine.free_gpus = pool.accelerator().count();
      machine.memory_bytes = machine.free_memory_bytes = BytesOf(pool.memory());
    }
  }
  machines.max_in_queue_ = cluster.slurm().max_jobs_in_queue();
  return machines;
}

// Training: where the accelerators are, else the first pool (as the loader takes the numerics class from it). All else:
// the first pool without accelerators that has room for a rank, so that costly machines are left to what needs them.
int Machines::ChoosePool(const GangNeeds& needs) const {
  const auto with = absl::c_find_if(pools_, [](const PoolOfMachines& pool) { return pool.has_accelerators; });
  if (needs.is_training) return with == pools_.end() ? 0 : static_cast<int>(with - pools_.begin());
  const auto without = absl::c_find_if(pools_, [&](const PoolOfMachines& pool) {
    const Machine& machine = machines_[pool.first];
    return !pool.has_accelerators && (machine.memory_bytes == 0 || machine.memory_bytes >= needs.memory_bytes);
  });
  return without == pools_.end() ? 0 : static_cast<int>(without - pools_.begin());
}

absl::optional<Placement> Machines::TakeFrom(const PoolOfMachines& pool, const GangNeeds& needs, bool of_free) {
  Placement placement;
  placement.pool = pool.name;
  placement.gpus_per_rank = needs.gpus_per_rank;
  const Machine& like = machines_[pool.first];
  // Ranks of a machine that has nothing else to do; more processors than there are, are not asked for.
  int capacity = std::max(1, like.cpus / needs.cpus_per_rank);
  if (needs.gpus_per_rank > 0) capacity = std::min(capacity, like.gpus / needs.gpus_per_rank);
  if (needs.memory_bytes > 0 && like.memory_bytes > 0)
    capacity = static_cast<int>(std::min<int64_t>(capacity, like.memory_bytes / needs.memory_bytes));
  if (capacity == 0) return absl::nullopt;
  int nodes = CeilDivide(needs.ranks, capacity);
  if (!pool.has_queue && nodes > pool.count && needs.gpus_per_rank == 0 && needs.memory_bytes == 0) nodes = pool.count;
  placement.nodes = nodes;
  if (pool.has_queue) {
    if (pool.max_nodes > 0 && nodes > pool.max_nodes) return absl::nullopt;
    placement.cpus_per_rank =
        needs.whole_machines ? std::max(1, like.cpus / CeilDivide(needs.ranks, nodes)) : needs.cpus_per_rank;
    return placement;
  }
  // The machines with most processors free, in the file's order among equals.
  std::vector<int> order;
  for (int m = pool.first; m < pool.first + pool.count; ++m) order.push_back(m);
  if (of_free) {
    absl::c_stable_sort(order, [this](int a, int b) { return machines_[a].free_cpus > machines_[b].free_cpus; });
  }
  int left = needs.ranks;
  for (int n = 0; n < nodes; ++n) {
    const int ranks = CeilDivide(left, nodes - n);
    left -= ranks;
    if (n >= static_cast<int>(order.size())) return absl::nullopt;
    const Machine& machine = machines_[order[n]];
    Placement::Share share;
    share.machine = order[n];
    share.cpus = needs.whole_machines ? machine.cpus : std::min(machine.cpus, ranks * needs.cpus_per_rank);
    share.gpus = ranks * needs.gpus_per_rank;
    share.memory_bytes = machine.memory_bytes > 0 ? ranks * needs.memory_bytes : 0;
    if (of_free && (share.cpus > machine.free_cpus || share.gpus > machine.free_gpus ||
                    share.memory_bytes > machine.free_memory_bytes))
      return absl::nullopt;
    placement.cpus_per_rank =
        n == 0 ? std::max(1, share.cpus / ranks) : std::min(placement.cpus_per_rank, std::max(1, share.cpus / ranks));
    if (!machine.host.empty()) placement.hosts.insert(placement.hosts.end(), ranks, machine.host);
    placement.shares.push_back(share);
  }
  return placement;
}

absl::StatusOr<absl::optional<Placement>> Machines::Take(const GangNeeds& needs) {
  const PoolOfMachines& pool = pools_[ChoosePool(needs)];
  absl::optional<Placement> placement = TakeFrom(pool, needs, /*of_free=*/true);
  if (placement.has_value()) {
    for (const Placement::Share& share : placement->shares) {
      Machine& machine = machines_[share.machine];
      machine.free_cpus -= share.cpus;
      machine.free_gpus -= share.gpus;
      machine.free_memory_bytes -= share.memory_bytes;
    }
    return placement;
  }
  if (TakeFrom(pool, needs, /*of_free=*/false).has_value()) return placement;
  const Machine& like = machines_[pool.first];
  return absl::FailedPreconditionError(absl::StrCat(
      "it needs ", needs.ranks, " processes",
      needs.gpus_per_rank > 0 ? absl::StrCat(" with ", needs.gpus_per_rank, " GPU each") : "",
      needs.memory_bytes > 0 ? absl::StrCat(" with ", needs.memory_bytes, " bytes of memory each") : "",
      "\n  why: pool \"", pool.name, "\" has ", pool.has_queue ? pool.max_nodes : pool.count, " nodes with ", like.cpus,
      " processors, ", like.gpus, " GPUs",
      like.memory_bytes > 0 ? absl::StrCat(", ", like.memory_bytes, " bytes of memory") : "",
      "\n  fix: fewer ranks (train { parallel { data_parallel_size } }), less execution.memory, or a larger pool"));
}

void Machines::GiveBack(const Placement& placement) {
  for (const Placement::Share& share : placement.shares) {
    Machine& machine = machines_[share.machine];
    machine.free_cpus += share.cpus;
    machine.free_gpus += share.gpus;
    machine.free_memory_bytes += share.memory_bytes;
  }
}

bool Machines::any_free() const {
  return absl::c_any_of(pools_, [](const PoolOfMachines& pool) { return pool.has_queue; }) ||
         absl::c_any_of(machines_, [](const Machine& machine) { return machine.free_cpus > 0; });
}

int Machines::max_gangs() const {
  int gangs = 0;
  for (const PoolOfMachines& pool : pools_) {
    if (pool.has_queue) return std::max(1, max_in_queue_);
    for (int m = pool.first; m < pool.first + pool.count; ++m) gangs += machines_[m].cpus;
  }
  return std::max(1, gangs);
}

std::vector<double> CriticalPathSeconds(const ResolvedPipeline& pipeline, const std::vector<double>& seconds) {
  std::vector<double> longest(pipeline.stages.size(), 0);
  for (int i = static_cast<int>(pipeline.stages.size()) - 1; i >= 0; --i) {
    longest[i] += std::max(seconds[i], kUnknownSeconds);
    for (const StageEdge& edge : pipeline.stages[i].edges)
      longest[edge.producer] = std::max(longest[edge.producer], longest[i]);
  }
  return longest;
}

}  // namespace millrace
