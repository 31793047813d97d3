// What a train stage would take on a cluster: which layouts fit the memory of every rank, how long they take, what that
// costs, and what binds. Estimates in closed form (memory.h, roofline.h); nothing is run or probed.
#ifndef MILLRACE_TRAINER_PLAN_PLANNER_H_
#define MILLRACE_TRAINER_PLAN_PLANNER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pipelines/schema/cluster.pb.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/arch/model_config.h"
#include "trainer/plan/memory.h"
#include "trainer/plan/roofline.h"

namespace millrace::trainer {

struct PlanRequest {
  ModelConfig model;
  Train train;
  int64_t sequence_length = 0;
  Cluster cluster;
  std::string pool;  // empty: the first with accelerators, else the first
  // Of an accumulated gradient: 4 float32; 8 the exact integer sum (reproducibility.gradient_sum: INT64); 2 bfloat16.
  double gradient_bytes = 4;
};

enum class Fit {
  kYes,
  kTight,  // it fits, but leaves less than 5 % for fragmentation: not safely
  kNo,
  kUnknown,  // the cluster file does not say how much memory there is
};

// A layout with what it takes.
struct Candidate {
  Layout layout;
  RankMemory memory;
  Fit fit = Fit::kUnknown;
  double spare_bytes = 0;  // of the device; negative: what is missing
  StepTime step;
  double tokens_per_second = 0;
  double total_seconds = 0;  // of all steps
};

struct Plan {
  Hardware hardware;
  double memory_limit_bytes = 0;  // of a rank; 0: not known
  int64_t parameters = 0;
  int64_t sequence_length = 0;
  int64_t global_batch_size = 0;
  int64_t total_steps = 0;
  int64_t tokens = 0;
  double flops = 0;  // of the whole run, without recomputation
  MemoryAssumptions assumptions;

  // What the table shows: with layout AUTO for each ZeRO stage and for pipelines the fastest that fits, else the
  // smallest; with FIXED the asked one first.
  std::vector<Candidate> rows;
  // The asked layout (FIXED), or the fastest that fits safely (AUTO; of equals the simplest); none: AUTO, none fits.
  std::optional<Candidate> chosen;
  // FIXED and it does not fit: the one that fits with the fewest changes, a bigger machine not being one of them.
  std::optional<Candidate> nearest;
  std::vector<Candidate> neighbours;  // of the chosen one: twice its micro-batch, and without recomputation

  double node_hours = 0;  // of the chosen one
  double gpu_hours = 0;   // 0 on CPUs
  double cost = 0;        // 0: no price in the cluster file
  DiskUse disk;           // of the chosen one
  double scratch_limit_bytes = 0;
  std::string refusal;  // why the cluster's limits forbid it; empty: they do not

  bool fits() const { return chosen.has_value() && (chosen->fit == Fit::kYes || chosen->fit == Fit::kUnknown); }
  // Whether someone should start this: at most 90 days.
  bool sensible() const { return chosen.has_value() && chosen->total_seconds <= 90 * 86400.0; }
};

// InvalidArgument: a quantity or the schedule's budget cannot be read; the FIXED layout needs more devices or layers
// than there are. NotFound: no such pool.
absl::StatusOr<Plan> MakePlan(const PlanRequest& request);

// The plan as text for a terminal, at most 130 columns, each line ending with a newline; memory in GiB per rank.
std::string FormatPlan(const Plan& plan);

// "ZeRO-3, 8 ranks" or "pipeline 2 x ZeRO-3 (4)".
std::string LayoutName(const Layout& layout);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_PLAN_PLANNER_H_
