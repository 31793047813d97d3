// All layouts are tried: ZeRO stages, divisions of the devices into pipeline and data parallel, micro-batches of powers
// of two, kinds of recomputation. That is a few hundred evaluations of closed forms.
#include "trainer/plan/planner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "trainer/arch/learning_rate.h"
#include "trainer/arch/model_size.h"

namespace millrace::trainer {
namespace {

constexpr double kGpuOtherBytes = 0.80 * (1 << 30);  // driver context, NCCL buffers, workspaces
constexpr double kCpuOtherBytes = 0.25 * (1 << 30);  // a process with LibTorch
constexpr double kSafeShare = 0.95;                  // of the memory; the rest is for fragmentation

class Planner {
 public:
  Planner(const PlanRequest& request, Plan* plan) : request_(request), plan_(plan) {}

  Candidate Evaluate(const Layout& layout) const;
  // Every layout over all devices.
  std::vector<Candidate> EvaluateAll() const;

 private:
  const PlanRequest& request_;
  Plan* const plan_;
};

Candidate Planner::Evaluate(const Layout& layout) const {
  const Hardware& hardware = plan_->hardware;
  const int64_t micro_batches = MicroBatchesPerStep(layout, plan_->global_batch_size);
  Candidate candidate;
  candidate.layout = layout;
  candidate.memory = EstimateMemory(request_.model, layout, plan_->sequence_length, micro_batches, plan_->assumptions);
  // Ranks of a CPU node share its memory.
  const int64_t ranks_per_device = (layout.ranks() + hardware.devices() - 1) / hardware.devices();
  const double limit = plan_->memory_limit_bytes / ranks_per_device;
  candidate.spare_bytes = limit - candidate.memory.total();
  if (plan_->memory_limit_bytes == 0)
    candidate.fit = Fit::kUnknown;
  else if (candidate.spare_bytes < 0)
    candidate.fit = Fit::kNo;
  else
    candidate.fit = candidate.memory.total() <= kSafeShare * limit ? Fit::kYes : Fit::kTight;
  candidate.step = EstimateStepTime(request_.model, layout, plan_->sequence_length, plan_->global_batch_size,
                                    plan_->assumptions, hardware);
  const double seconds = candidate.step.seconds();
  candidate.tokens_per_second = plan_->global_batch_size * plan_->sequence_length / seconds;
  candidate.total_seconds = plan_->total_steps * seconds;
  return candidate;
}

std::vector<Candidate> Planner::EvaluateAll() const {
  std::vector<Candidate> candidates;
  const int64_t devices = plan_->hardware.devices();
  for (int64_t pipeline = 1; pipeline <= std::min(devices, request_.model.num_hidden_layers); ++pipeline) {
    if (devices % pipeline != 0 || (pipeline > 1 && !plan_->hardware.is_gpu)) continue;
    const int64_t data_parallel = devices / pipeline;
    for (int zero_stage = 0; zero_stage <= (data_parallel > 1 ? 3 : 0); ++zero_stage) {
      for (int64_t micro_batch = 1; micro_batch <= 16 && micro_batch * data_parallel <= plan_->global_batch_size;
           micro_batch *= 2) {
        for (const auto recompute : {Parallel::RECOMPUTE_NONE, Parallel::SELECTIVE, Parallel::FULL})
          candidates.push_back(Evaluate({zero_stage, data_parallel, pipeline, micro_batch, recompute}));
      }
    }
  }
  return candidates;
}

bool Runs(const Candidate& candidate) { return candidate.fit == Fit::kYes || candidate.fit == Fit::kUnknown; }

// Whether `a` is the better choice: it fits, is faster by more than a thousandth, is simpler.
bool Better(const Candidate& a, const Candidate& b) {
  if (Runs(a) != Runs(b)) return Runs(a);
  if (!Runs(a)) return a.memory.total() < b.memory.total();
  if (std::abs(a.total_seconds - b.total_seconds) > 1e-3 * std::min(a.total_seconds, b.total_seconds))
    return a.total_seconds < b.total_seconds;
  const auto complexity = [](const Candidate& c) {
    return std::make_tuple(c.layout.pipeline, c.layout.zero_stage, static_cast<int>(c.layout.recompute),
                           c.layout.micro_batch);
  };
  return complexity(a) < complexity(b);
}

// How far a layout is from the asked one.
int64_t Distance(const Layout& a, const Layout& b) {
  const auto log2 = [](int64_t value) { return static_cast<int64_t>(std::llround(std::log2(value))); };
  return std::abs(log2(a.micro_batch) - log2(b.micro_batch)) + 3 * std::abs(a.recompute - b.recompute) +
         10 * std::abs(a.zero_stage - b.zero_stage) + 40 * std::abs(log2(a.pipeline) - log2(b.pipeline)) +
         (a.ranks() == b.ranks() ? 0 : 200);
}

template <typename Predicate>
std::optional<Candidate> Best(const std::vector<Candidate>& candidates, Predicate predicate) {
  std::optional<Candidate> best;
  for (const Candidate& candidate : candidates) {
    if (predicate(candidate) && (!best.has_value() || Better(candidate, *best))) best = candidate;
  }
  return best;
}

absl::StatusOr<Layout> FixedLayout(const PlanRequest& request, const Plan& plan) {
  const Parallel& parallel = request.train.parallel();
  Layout layout;
  layout.zero_stage = parallel.zero_stage();
  layout.data_parallel = parallel.data_parallel_size();
  layout.pipeline = parallel.pipeline_parallel_size();
  // Absent: all sequences of the rank at once would be the most memory; one is the least.
  layout.micro_batch = parallel.has_micro_batch_size() ? parallel.micro_batch_size() : 1;
  layout.recompute = parallel.recompute();
  if (plan.hardware.is_gpu && layout.ranks() > plan.hardware.devices()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "parallel: data_parallel_size ", layout.data_parallel, " x pipeline_parallel_size ", layout.pipeline, " are ",
        layout.ranks(), " ranks, but cluster \"", request.cluster.name(), "\" has ", plan.hardware.devices(),
        " devices\n  fix: data_parallel_size: ", std::max<int64_t>(1, plan.hardware.devices() / layout.pipeline)));
  }
  if (layout.pipeline > request.model.num_hidden_layers) {
    return absl::InvalidArgumentError(absl::StrCat("parallel: pipeline_parallel_size ", layout.pipeline,
                                                   " is more than num_hidden_layers ", request.model.num_hidden_layers,
                                                   "\n  fix: at most a stage for each layer"));
  }
  return layout;
}

void AddRows(const std::vector<Candidate>& all, Plan* plan) {
  const auto add = [&](const std::optional<Candidate>& candidate) {
    if (!candidate.has_value()) return;
    for (const Candidate& row : plan->rows) {
      if (row.layout == candidate->layout) return;
    }
    plan->rows.push_back(*candidate);
  };
  for (int zero_stage = 0; zero_stage <= 3; ++zero_stage) {
    add(Best(all, [&](const Candidate& c) { return c.layout.pipeline == 1 && c.layout.zero_stage == zero_stage; }));
  }
  add(Best(all, [](const Candidate& c) { return c.layout.pipeline > 1; }));
  add(plan->chosen);
  add(plan->nearest);
}

void AddNeighbours(const Planner& planner, Plan* plan) {
  Layout larger = plan->chosen->layout;
  larger.micro_batch *= 2;
  if (larger.micro_batch * larger.data_parallel <= plan->global_batch_size)
    plan->neighbours.push_back(planner.Evaluate(larger));
  Layout keeping = plan->chosen->layout;
  if (keeping.recompute != Parallel::RECOMPUTE_NONE) {
    keeping.recompute = Parallel::RECOMPUTE_NONE;
    keeping.micro_batch = 1;
    plan->neighbours.push_back(planner.Evaluate(keeping));
  }
}

// Time, cost and disk of the chosen layout, and what the cluster's limits say.
absl::Status AddBill(const PlanRequest& request, Plan* plan) {
  const Candidate& chosen = *plan->chosen;
  const double hours = chosen.total_seconds / 3600;
  plan->node_hours = hours * plan->hardware.nodes;
  if (plan->hardware.is_gpu) plan->gpu_hours = hours * plan->hardware.devices();
  plan->cost = plan->node_hours * plan->hardware.price_per_node_hour;
  ASSIGN_OR_RETURN(plan->disk, EstimateDiskUse(request.model, request.train, plan->total_steps, chosen.step.seconds()));
  if (request.cluster.storage().has_scratch_limit()) {
    ASSIGN_OR_RETURN(plan->scratch_limit_bytes, ParseBytes(request.cluster.storage().scratch_limit()));
  }
  const Limits& limits = request.cluster.limits();
  const auto refuse = [&](absl::string_view field, double limit, double value, absl::string_view unit) {
    absl::StrAppend(&plan->refusal, plan->refusal.empty() ? "" : "; ", "limits.", field, " ",
                    FormatGrouped(std::llround(limit)), " < ", FormatCount(value), unit);
  };
  if (limits.has_max_gpu_hours() && plan->gpu_hours > limits.max_gpu_hours())
    refuse("max_gpu_hours", limits.max_gpu_hours(), plan->gpu_hours, "");
  if (limits.has_max_cost() && plan->cost > limits.max_cost())
    refuse("max_cost", limits.max_cost(), plan->cost, absl::StrCat(" ", plan->hardware.currency));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const PlanRequest& request) {
  Plan plan;
  ASSIGN_OR_RETURN(plan.hardware, HardwareOf(request.cluster, request.pool));
  ASSIGN_OR_RETURN(plan.total_steps, TotalSteps(request.train, request.sequence_length));
  plan.memory_limit_bytes = plan.hardware.memory_bytes;
  plan.parameters = CountParameters(request.model).total();
  plan.sequence_length = request.sequence_length;
  plan.global_batch_size = request.train.global_batch_size();
  plan.tokens = plan.total_steps * TokensPerStep(request.train, request.sequence_length);
  plan.flops = plan.tokens * CountFlopsPerToken(request.model, request.sequence_length).total();
  plan.assumptions = MemoryAssumptions::For(request.train, request.gradient_bytes,
                                            plan.hardware.is_gpu ? kGpuOtherBytes : kCpuOtherBytes);

  const Planner planner(request, &plan);
  const std::vector<Candidate> all = planner.EvaluateAll();
  if (request.train.parallel().layout() == Parallel::FIXED) {
    ASSIGN_OR_RETURN(const Layout layout, FixedLayout(request, plan));
    plan.chosen = planner.Evaluate(layout);
    plan.rows.push_back(*plan.chosen);
    if (!Runs(*plan.chosen)) {
      for (const Candidate& candidate : all) {
        if (!Runs(candidate)) continue;
        const int64_t distance = Distance(candidate.layout, layout);
        const int64_t best = plan.nearest.has_value() ? Distance(plan.nearest->layout, layout) : 0;
        if (!plan.nearest.has_value() || distance < best || (distance == best && Better(candidate, *plan.nearest)))
          plan.nearest = candidate;
      }
      AddRows(all, &plan);
    }
  } else {
    plan.chosen = Best(all, Runs);
    AddRows(all, &plan);
  }
  if (plan.chosen.has_value()) {
    AddNeighbours(planner, &plan);
    RETURN_IF_ERROR(AddBill(request, &plan));
  }
  return plan;
}

std::string LayoutName(const Layout& layout) {
  const std::string zero = absl::StrCat("ZeRO-", layout.zero_stage);
  if (layout.pipeline > 1)
    return absl::StrCat("pipeline ", layout.pipeline, " x ", zero, " (", layout.data_parallel, ")");
  return absl::StrCat(zero, ", ", layout.ranks(), layout.ranks() == 1 ? " rank" : " ranks");
}

}  // namespace millrace::trainer
