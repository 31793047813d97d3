// The text form of a plan.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/quantity.h"
#include "trainer/plan/planner.h"

namespace millrace::trainer {
namespace {

// GiB with the precision of a table; small models need more digits.
std::string Gib(double size_bytes) {
  const double gib = size_bytes / (1 << 30);
  return absl::StrFormat(std::abs(gib) >= 100 ? "%.1f" : "%.2f", gib);
}

const char* RecomputeName(Parallel::Recompute recompute) {
  switch (recompute) {
    case Parallel::RECOMPUTE_NONE:
      return "none";
    case Parallel::SELECTIVE:
      return "selective";
    case Parallel::FULL:
      return "full";
  }
  return "";
}

std::string Verdict(const Candidate& candidate) {
  switch (candidate.fit) {
    case Fit::kNo:
      return absl::StrCat("does not fit: ", Gib(-candidate.spare_bytes), " too much");
    case Fit::kTight:
      return absl::StrCat("does not fit safely: ", Gib(candidate.spare_bytes), " spare");
    case Fit::kYes:
    case Fit::kUnknown:
      return absl::StrFormat("%9s  %10s", FormatCount(candidate.tokens_per_second),
                             FormatSeconds(candidate.total_seconds));
  }
  return "";
}

std::string Row(const Candidate& candidate, bool is_chosen) {
  const RankMemory& m = candidate.memory;
  return absl::StrFormat("%s %-26s%5d %-9s %7s %6s %6s %8s %6s %5s %5s %6s  %s\n", is_chosen ? "*" : " ",
                         LayoutName(candidate.layout), candidate.layout.micro_batch,
                         RecomputeName(candidate.layout.recompute), Gib(m.weights), Gib(m.gradients), Gib(m.optimizer),
                         m.gathered == 0 ? "-" : Gib(m.gathered), Gib(m.activations), Gib(m.loss), Gib(m.other),
                         Gib(m.total()), Verdict(candidate));
}

std::string Header(const Plan& plan) {
  const Hardware& hardware = plan.hardware;
  std::string text = absl::StrCat(FormatCount(plan.parameters), " parameters, ", FormatCount(plan.tokens), " tokens, ",
                                  FormatGrouped(plan.total_steps), " steps of ", plan.global_batch_size, " x ",
                                  plan.sequence_length, ".  ");
  if (hardware.is_gpu) {
    absl::StrAppend(&text, hardware.nodes == 1 ? "" : absl::StrCat(hardware.nodes, " nodes x "),
                    hardware.devices_per_node, " x ", hardware.device_name, ", ", FormatBytes(plan.memory_limit_bytes),
                    " each\n");
  } else {
    absl::StrAppend(&text, hardware.nodes == 1 ? "" : absl::StrCat(hardware.nodes, " x "), hardware.device_name,
                    plan.memory_limit_bytes > 0 ? absl::StrCat(", ", FormatBytes(plan.memory_limit_bytes)) : "", "\n");
  }
  absl::StrAppendFormat(&text, "  %-26s%5s %-9s %7s %6s %6s %8s %6s %5s %5s %6s  %9s  %10s\n", "GiB a rank", "micro",
                        "recompute", "weights", "grads", "Adam", "gathered", "activ.", "loss", "other", "total",
                        "tok/s", "takes");
  return text;
}

// What division of the states alone says, for the stage that people try first: with gradients of 2, 4 and 8 bytes.
std::string StatesNote(const Plan& plan) {
  if (!plan.hardware.is_gpu || plan.hardware.devices() == 1) return "";
  const auto states = [&](double gradient_bytes, int zero_stage) {
    MemoryAssumptions assumptions = plan.assumptions;
    assumptions.gradient_bytes = gradient_bytes;
    return StateMemory(plan.parameters, zero_stage, plan.hardware.devices(), assumptions).states();
  };
  std::string text = "states before activations (gradients bf16, fp32, exact int64):";
  for (const int zero_stage : {2, 3}) {
    absl::StrAppendFormat(&text, "  ZeRO-%d %.1f, %.1f, %.1f", zero_stage, states(2, zero_stage) / (1 << 30),
                          states(4, zero_stage) / (1 << 30), states(8, zero_stage) / (1 << 30));
  }
  return absl::StrCat(text, " GiB\n");
}

std::string NeighboursNote(const Plan& plan) {
  std::string text;
  for (const Candidate& neighbour : plan.neighbours) {
    const bool larger = neighbour.layout.micro_batch > plan.chosen->layout.micro_batch;
    absl::StrAppend(&text, text.empty() ? "  same, " : ".  Same, ", "micro-batch ", neighbour.layout.micro_batch,
                    larger ? "" : " without recomputation", ": ", Gib(neighbour.memory.total()));
    switch (neighbour.fit) {
      case Fit::kNo:
        absl::StrAppend(&text, " does not fit");
        break;
      case Fit::kTight:
        absl::StrAppend(&text, " does not fit safely");
        break;
      default:
        absl::StrAppend(&text, " fits, ", FormatCount(neighbour.tokens_per_second), " tok/s");
    }
  }
  return text.empty() ? "" : absl::StrCat(text, "\n");
}

std::string FitsLine(const Plan& plan) {
  if (!plan.chosen.has_value()) {
    const Candidate& least = *std::min_element(plan.rows.begin(), plan.rows.end(), [](const auto& a, const auto& b) {
      return a.memory.total() < b.memory.total();
    });
    return absl::StrCat("fits: NO.  The smallest layout, ", LayoutName(least.layout), ", needs ",
                        Gib(least.memory.total()), " GiB a rank.   fix: more devices, or ones with more memory\n");
  }
  const Candidate& chosen = *plan.chosen;
  switch (chosen.fit) {
    case Fit::kUnknown:
      return absl::StrCat("fits: unknown, the cluster file does not say how much memory there is.  Needed: ",
                          Gib(chosen.memory.total()), " GiB a rank.\n");
    case Fit::kYes:
      return absl::StrCat("fits: yes (", Gib(chosen.spare_bytes), " GiB spare, before fragmentation)\n");
    case Fit::kTight:
    case Fit::kNo:
      break;
  }
  std::string text = absl::StrCat("fits: NO, ", LayoutName(chosen.layout), " ", Verdict(chosen), ".  ");
  if (plan.nearest.has_value()) {
    const Layout& layout = plan.nearest->layout;
    absl::StrAppend(&text, "nearest that fits: ", LayoutName(layout), ", micro_batch_size ", layout.micro_batch,
                    ", recompute ", RecomputeName(layout.recompute));
  } else {
    absl::StrAppend(&text, "no layout fits these devices");
  }
  return absl::StrCat(text, "\n");
}

std::string BillLines(const Plan& plan) {
  const Candidate& chosen = *plan.chosen;
  std::string flops = absl::StrFormat("%.1e", plan.flops);
  flops.erase(std::remove(flops.begin(), flops.end(), '+'), flops.end());
  std::string text = absl::StrCat("sensible: ", plan.sensible() ? "yes" : "NO", ": ", flops, " FLOP take ",
                                  FormatSeconds(chosen.total_seconds));
  if (plan.gpu_hours > 0) absl::StrAppend(&text, ", ", FormatCount(plan.gpu_hours), " GPU hours");
  if (plan.hardware.is_gpu) absl::StrAppend(&text, ", ", FormatCount(plan.node_hours), " node hours");
  if (plan.cost > 0) absl::StrAppend(&text, ", ", FormatCount(plan.cost), " ", plan.hardware.currency);
  const StepTime& step = chosen.step;
  absl::StrAppend(&text, ".   binds: ", step.binding(), "\n");
  if (plan.hardware.is_gpu) {
    absl::StrAppend(&text, "a step: compute ", FormatSeconds(step.compute_seconds), ", links within a node ",
                    FormatSeconds(step.peer_seconds), ", network ", FormatSeconds(step.network_seconds),
                    ", taken as overlapping\n");
  }
  absl::StrAppend(&text, "disk: checkpoints of ", FormatBytes(plan.disk.checkpoint_bytes), ", ",
                  FormatGrouped(std::llround(plan.disk.checkpoints)), " of them; ",
                  FormatBytes(plan.disk.written_bytes), " written, ", FormatBytes(plan.disk.peak_bytes),
                  " at most kept");
  if (plan.scratch_limit_bytes > 0 && plan.disk.peak_bytes > plan.scratch_limit_bytes)
    absl::StrAppend(&text, ": MORE than storage.scratch_limit ", FormatBytes(plan.scratch_limit_bytes));
  absl::StrAppend(&text, "\n");
  if (!plan.refusal.empty()) absl::StrAppend(&text, "`run` refuses: ", plan.refusal, "\n");
  return text;
}

std::string AssumptionsLine(const Plan& plan) {
  const Hardware& hardware = plan.hardware;
  const auto bandwidth = [](double bytes_per_second) {
    return bytes_per_second > 0 ? absl::StrFormat("%.4g GB/s", bytes_per_second / 1e9) : std::string("no limit");
  };
  std::string text =
      absl::StrFormat("assumes %.0f %% of %.4g TFLOP/s", 100 * hardware.efficiency, hardware.peak_flops / 1e12);
  if (hardware.is_gpu) {
    absl::StrAppend(&text, ", full overlap, ", bandwidth(hardware.peer_bytes_per_second), " within a node");
    if (hardware.nodes > 1)
      absl::StrAppend(&text, ", ", bandwidth(hardware.network_bytes_per_second), " between nodes");
    absl::StrAppend(&text, " (unmeasured)\n",
                    "gathered: the head's gradient; ZeRO-3 also a layer and the head");
  } else {
    absl::StrAppend(&text, " (unmeasured)");
  }
  return absl::StrCat(text, "\n");
}

}  // namespace

std::string FormatPlan(const Plan& plan) {
  std::string text = Header(plan);
  for (const Candidate& row : plan.rows) text += Row(row, plan.chosen.has_value() && row.layout == plan.chosen->layout);
  if (plan.chosen.has_value()) text += NeighboursNote(plan);
  text += StatesNote(plan);
  text += FitsLine(plan);
  if (plan.chosen.has_value()) text += BillLines(plan);
  text += AssumptionsLine(plan);
  return text;
}

}  // namespace millrace::trainer
