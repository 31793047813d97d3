#include "trainer/plan/roofline.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "trainer/arch/model_size.h"

namespace millrace::trainer {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

absl::StatusOr<const Pool*> FindPool(const Cluster& cluster, absl::string_view name) {
  for (const Pool& pool : cluster.pool()) {
    if (name.empty() ? pool.has_accelerator() : absl::string_view(pool.name()) == name) return &pool;
  }
  if (name.empty() && cluster.pool_size() > 0) return &cluster.pool(0);
  return absl::NotFoundError(name.empty()
                                 ? absl::StrCat("cluster \"", cluster.name(), "\" has no pool\n  fix: pool { ... }")
                                 : absl::StrCat("cluster \"", cluster.name(), "\" has no pool \"", name, "\""));
}

double OrUnlimited(double bytes_per_second) { return bytes_per_second > 0 ? bytes_per_second : kUnlimited; }

// Elements a rank sends for its parameters in one step, in units of P (N-1)/N.
double ParameterTransfers(int zero_stage, double micro_batches) {
  if (zero_stage <= 1) return 2;
  return zero_stage == 2 ? 1 + micro_batches : 3 * micro_batches;
}

}  // namespace

absl::StatusOr<Hardware> HardwareOf(const Cluster& cluster, absl::string_view pool_name) {
  ASSIGN_OR_RETURN(const Pool* pool, FindPool(cluster, pool_name));
  const auto context = [&](absl::string_view field) {
    return absl::StrCat("cluster \"", cluster.name(), "\", pool \"", pool->name(), "\": ", field);
  };
  Hardware hardware;
  hardware.nodes = std::max(1, pool->host_size());
  hardware.price_per_node_hour = pool->price().per_node_hour();
  hardware.currency = pool->price().currency();
  absl::string_view memory = pool->memory();
  if (pool->has_accelerator()) {
    const Accelerator& accelerator = pool->accelerator();
    hardware.is_gpu = true;
    hardware.device_name = accelerator.has_model() ? accelerator.model() : "GPU";
    hardware.devices_per_node = std::max(1, accelerator.count());
    hardware.peak_flops = (accelerator.has_peak_bf16_teraflops() ? accelerator.peak_bf16_teraflops() : 100) * 1e12;
    memory = accelerator.memory();
    if (accelerator.has_peer_bandwidth()) {
      const absl::StatusOr<double> bandwidth = ParseBandwidth(accelerator.peer_bandwidth());
      if (!bandwidth.ok()) return Annotate(bandwidth.status(), context("accelerator.peer_bandwidth"));
      hardware.peer_bytes_per_second = *bandwidth;
    }
  } else {
    const int cpus = pool->has_cpus() ? pool->cpus() : 1;
    hardware.device_name = absl::StrCat("CPU node, ", cpus, cpus == 1 ? " core" : " cores");
    hardware.peak_flops = 90e9 * cpus;
    hardware.efficiency = 0.5;
  }
  if (!memory.empty()) {
    const absl::StatusOr<int64_t> bytes = ParseBytes(memory);
    if (!bytes.ok()) return Annotate(bytes.status(), context("memory"));
    hardware.memory_bytes = *bytes;
  }
  if (cluster.network().has_bandwidth()) {
    const absl::StatusOr<double> bandwidth = ParseBandwidth(cluster.network().bandwidth());
    if (!bandwidth.ok())
      return Annotate(bandwidth.status(), absl::StrCat("cluster \"", cluster.name(), "\": network.bandwidth"));
    hardware.network_bytes_per_second = *bandwidth;
  }
  return hardware;
}

double StepTime::seconds() const { return std::max({compute_seconds, peer_seconds, network_seconds}); }

std::string StepTime::binding() const {
  if (compute_seconds >= peer_seconds && compute_seconds >= network_seconds) return "compute";
  return network_seconds >= peer_seconds ? "the network" : "links within a node";
}

int64_t MicroBatchesPerStep(const Layout& layout, int64_t global_batch_size) {
  const int64_t sequences = layout.data_parallel * layout.micro_batch;
  return (global_batch_size + sequences - 1) / sequences;
}

StepTime EstimateStepTime(const ModelConfig& config, const Layout& layout, int64_t sequence_length,
                          int64_t global_batch_size, const MemoryAssumptions& assumptions, const Hardware& hardware) {
  const FlopsPerToken per_token = CountFlopsPerToken(config, sequence_length);
  const double flops =
      layout.recompute == Parallel::FULL ? per_token.total_with_full_recomputation() : per_token.total();
  const double micro_batches = MicroBatchesPerStep(layout, global_batch_size);
  const double stages = layout.pipeline, ranks = layout.data_parallel;
  // Ranks of a CPU node share it; of GPUs each has its own.
  const double devices = std::min<double>(layout.ranks(), hardware.devices());

  StepTime time;
  // The slowest stage sets the pace, and the pipeline is filled and drained once a step; ranks with fewer sequences
  // than others wait for them.
  const double imbalance =
      LayersOfStage(config.num_hidden_layers, layout.pipeline, 0) * stages / config.num_hidden_layers;
  const double fill = (micro_batches + stages - 1) / micro_batches;
  const double tokens = micro_batches * layout.micro_batch * ranks * sequence_length;
  time.compute_seconds = tokens * flops / (devices * hardware.peak_flops * hardware.efficiency) * imbalance * fill;

  // Pipeline stages go across nodes first: a data-parallel group spans what is left.
  const double nodes = std::min<double>(hardware.nodes, layout.ranks());
  const double stages_across_nodes = std::min(stages, nodes);
  const double nodes_of_group = nodes / stages_across_nodes;
  const double groups_of_node = std::max(1.0, stages / stages_across_nodes);
  const double parameters = CountParameters(config).total() / stages;
  const double ring_bytes = ranks == 1 ? 0
                                       : ParameterTransfers(layout.zero_stage, micro_batches) * parameters *
                                             assumptions.weight_bytes * (ranks - 1) / ranks;
  if (hardware.is_gpu) time.peer_seconds = ring_bytes / OrUnlimited(hardware.peer_bytes_per_second);
  if (nodes_of_group > 1)
    time.network_seconds = ring_bytes * groups_of_node / OrUnlimited(hardware.network_bytes_per_second);

  // What goes from stage to stage: a hidden state forward, its gradient back, the two ways at once.
  if (stages > 1) {
    const double boundary_bytes =
        micro_batches * layout.micro_batch * sequence_length * config.hidden_size * assumptions.activation_bytes;
    if (stages_across_nodes > 1) {
      const double ranks_of_node = layout.ranks() / nodes / groups_of_node;
      time.network_seconds += boundary_bytes * ranks_of_node / OrUnlimited(hardware.network_bytes_per_second);
    } else if (hardware.is_gpu) {
      time.peer_seconds += boundary_bytes / OrUnlimited(hardware.peer_bytes_per_second);
    }
  }
  return time;
}

absl::StatusOr<DiskUse> EstimateDiskUse(const ModelConfig& config, const Train& train, int64_t total_steps,
                                        double step_seconds) {
  const double parameters = CountParameters(config).total();
  const Checkpointing& checkpoint = train.checkpoint();
  const absl::StatusOr<double> every_seconds = ParseDurationSeconds(checkpoint.every());
  if (!every_seconds.ok()) return Annotate(every_seconds.status(), "checkpoint.every");
  // Whichever comes first, and one at the end.
  double interval_steps = std::max(1.0, std::ceil(*every_seconds / step_seconds));
  if (checkpoint.has_every_steps()) interval_steps = std::min<double>(interval_steps, checkpoint.every_steps());
  DiskUse use;
  use.checkpoint_bytes = 12 * parameters;
  use.checkpoints = std::ceil(total_steps / interval_steps);
  const double export_bytes = parameters * (train.precision() == Train::FP32 ? 4 : 2);
  use.written_bytes = use.checkpoints * use.checkpoint_bytes + export_bytes;
  const double kept_for_good = checkpoint.has_keep_every_steps()
                                   ? std::floor(static_cast<double>(total_steps) / checkpoint.keep_every_steps())
                                   : 0;
  const double kept = std::min(use.checkpoints, checkpoint.keep_last() + 1 + kept_for_good);
  use.peak_bytes = kept * use.checkpoint_bytes + export_bytes;
  return use;
}

}  // namespace millrace::trainer
