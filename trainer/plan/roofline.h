// How long a training step takes at best, from what the machines compute and move in a second.
//
// A roofline: computation, transfers between the cards of a node and transfers between nodes are each added up over a
// step; the longest of the three is the step, as if they overlapped fully. It says which of them binds, and is a lower
// bound of the time: a plan that is too slow here is too slow.
#ifndef MILLRACE_TRAINER_PLAN_ROOFLINE_H_
#define MILLRACE_TRAINER_PLAN_ROOFLINE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pipelines/schema/cluster.pb.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/arch/model_config.h"
#include "trainer/plan/memory.h"

namespace millrace::trainer {

// The machines of one pool, as numbers. A device is an accelerator, or a CPU node.
struct Hardware {
  std::string device_name;  // "NVIDIA GeForce RTX 4090", "CPU"
  bool is_gpu = false;
  int64_t nodes = 1;
  int64_t devices_per_node = 1;
  double memory_bytes = 0;              // of a device; of the node where it is a CPU; 0: the cluster file does not say
  double peak_flops = 0;                // of a device
  double efficiency = 0.6;              // of it that a well-laid step reaches
  double peer_bytes_per_second = 0;     // between devices of a node, each way; 0: not known, taken as no limit
  double network_bytes_per_second = 0;  // of a node, each way; 0: not known
  double price_per_node_hour = 0;
  std::string currency;

  int64_t devices() const { return nodes * devices_per_node; }
};

// The pool named `pool` (empty: the first with accelerators, else the first). A pool without hosts is one node.
// Assumed where the file is silent: 100 TFLOP/s a GPU; 90 GFLOP/s a core at efficiency 0.5 in float32 (AVX2).
//   NotFound: no such pool. InvalidArgument: a quantity that cannot be read.
absl::StatusOr<Hardware> HardwareOf(const Cluster& cluster, absl::string_view pool);

struct StepTime {
  double compute_seconds = 0;  // with recomputation and the pipeline's fill and drain
  double peer_seconds = 0;
  double network_seconds = 0;

  double seconds() const;
  std::string binding() const;  // "compute", "links within a node", "the network"
};

// One optimizer step of `global_batch_size` sequences on `hardware`, whose devices are at least layout.ranks() (or
// share a CPU node). Pipeline stages go across nodes first. Transfers of a rank, in elements of its stage's
// parameters P with N data-parallel ranks and m micro-batches (ring algorithms):
//   ZeRO 0, 1  2 P (N-1)/N     2  (1 + m) P (N-1)/N     3  3 m P (N-1)/N
StepTime EstimateStepTime(const ModelConfig& config, const Layout& layout, int64_t sequence_length,
                          int64_t global_batch_size, const MemoryAssumptions& assumptions, const Hardware& hardware);

// Micro-batches of a rank in a step: the ceiling of global_batch_size / (data_parallel x micro_batch).
int64_t MicroBatchesPerStep(const Layout& layout, int64_t global_batch_size);

// Checkpoints of a whole run: float32 weights and Adam's moments, 12 bytes a parameter, and at the end the exported
// weights in the training precision.
struct DiskUse {
  double checkpoint_bytes = 0;  // of one
  double checkpoints = 0;       // written
  double written_bytes = 0;     // with the export
  double peak_bytes = 0;        // those kept, one being written, and the export
};
absl::StatusOr<DiskUse> EstimateDiskUse(const ModelConfig& config, const Train& train, int64_t total_steps,
                                        double step_seconds);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_PLAN_ROOFLINE_H_
