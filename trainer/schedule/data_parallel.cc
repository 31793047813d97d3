// Units are laid out in the order in which backward completes them (that of the lowest block that names them, from the
// last block down), so that a bucket is one piece of memory and is complete as soon as its last unit is. All ranks
// issue the buckets in that one order, whatever leaves they have.
#include "trainer/schedule/data_parallel.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

absl::Status Validate(const DataParallelInput& input) {
  if (input.zero_stage != 0) {
    return absl::UnimplementedError(
        absl::StrCat("zero_stage ", input.zero_stage,
                     " cannot be run\n  why: the runtime has data parallelism with whole states on each rank\n"
                     "  fix: zero_stage: 0"));
  }
  if (input.pipeline_parallel_size != 1) {
    return absl::UnimplementedError(
        absl::StrCat("pipeline_parallel_size ", input.pipeline_parallel_size,
                     " cannot be run\n  why: the runtime has data parallelism with the whole model on each rank\n"
                     "  fix: pipeline_parallel_size: 1"));
  }
  if (input.blocks.empty()) return absl::InvalidArgumentError("a schedule needs at least one block");
  if (input.num_leaves < 1) return absl::InvalidArgumentError("a schedule needs at least one leaf");
  if (input.world_size < 1) return absl::InvalidArgumentError("a schedule needs at least one rank");
  if (input.leaves_per_micro_batch < 1) return absl::InvalidArgumentError("a micro-batch needs at least one leaf");
  std::vector<bool> named(input.tensors.size());
  for (const auto& block : input.blocks) {
    for (const int t : block.tensors) named[t] = true;
  }
  for (size_t t = 0; t < named.size(); ++t) {
    if (!named[t]) return absl::InvalidArgumentError(absl::StrCat("no block names \"", input.tensors[t].name, "\""));
  }
  return absl::OkStatus();
}

class Compiler {
 public:
  explicit Compiler(const DataParallelInput& input) : input_(input), num_blocks_(input.blocks.size()) {
    schedule_.world_size = input.world_size;
    schedule_.num_leaves = input.num_leaves;
    for (const auto& block : input.blocks) schedule_.blocks.push_back(block.name);
  }

  Schedule Compile() {
    MakeUnits();
    MakeBuckets();
    norm_ = NewBuffer("norm", BufferKind::kScalar, 8);
    for (int rank = 0; rank < input_.world_size; ++rank) {
      schedule_.ranks.emplace_back();
      CompileRank(LeavesOfRank(input_.num_leaves, input_.world_size, rank), schedule_.ranks.back());
    }
    return std::move(schedule_);
  }

 private:
  int NewBuffer(std::string name, BufferKind kind, int64_t size_bytes) {
    schedule_.buffers.push_back({std::move(name), kind, size_bytes});
    return static_cast<int>(schedule_.buffers.size()) - 1;
  }

  void MakeUnits() {
    std::vector<std::vector<int>> blocks_of_tensor(input_.tensors.size());
    for (int b = 0; b < num_blocks_; ++b) {
      for (const int t : input_.blocks[b].tensors) blocks_of_tensor[t].push_back(b);
    }
    std::map<std::vector<int>, std::vector<int>> tensors_of_blocks;
    for (size_t t = 0; t < input_.tensors.size(); ++t) tensors_of_blocks[blocks_of_tensor[t]].push_back(t);
    std::vector<std::pair<std::vector<int>, std::vector<int>>> ordered(tensors_of_blocks.begin(),
                                                                       tensors_of_blocks.end());
    std::stable_sort(ordered.begin(), ordered.end(),
                     [](const auto& a, const auto& b) { return a.first.front() > b.first.front(); });
    for (auto& [blocks, tensors] : ordered) {
      Unit unit;
      unit.name = absl::StrJoin(blocks, "+", [this](std::string* out, int b) { *out += schedule_.blocks[b]; });
      for (const int t : tensors) unit.elements += input_.tensors[t].elements;
      unit.weights = NewBuffer("weights." + unit.name, BufferKind::kWeights, unit.elements * 4);
      unit.optimizer_state =
          NewBuffer("optimizer." + unit.name, BufferKind::kOptimizerState, unit.elements * input_.optimizer_bytes);
      unit.gradient_sum =
          NewBuffer("sum." + unit.name, BufferKind::kGradientSum, unit.elements * input_.gradient_sum_bytes);
      unit.blocks = std::move(blocks);
      unit.tensors = std::move(tensors);
      schedule_.units.push_back(std::move(unit));
    }
    Unit report;
    report.name = "report";
    report.blocks = {num_blocks_ - 1};
    report.elements = ReportElements(input_.world_size);
    report.gradient_sum = NewBuffer("sum.report", BufferKind::kGradientSum, report.elements * 8);
    schedule_.units.push_back(std::move(report));
    units_of_block_.resize(num_blocks_);
    for (size_t u = 0; u < schedule_.units.size(); ++u) {
      for (const int b : schedule_.units[u].blocks) units_of_block_[b].push_back(u);
    }
  }

  void MakeBuckets() {
    const int report = static_cast<int>(schedule_.units.size()) - 1;
    int64_t bytes = 0;
    for (int u = 0; u < report; ++u) {
      const int64_t unit_bytes = schedule_.units[u].elements * input_.gradient_sum_bytes;
      if (schedule_.buckets.empty() || bytes + unit_bytes > input_.bucket_bytes) {
        schedule_.buckets.emplace_back();
        bytes = 0;
      }
      schedule_.buckets.back().units.push_back(u);
      bytes += unit_bytes;
    }
    if (schedule_.buckets.empty() || input_.gradient_sum_bytes != 8) schedule_.buckets.emplace_back();
    schedule_.buckets.back().units.push_back(report);
  }

  std::vector<int> WeightsOfBlock(int b) const {
    std::vector<int> weights;
    for (const int u : units_of_block_[b]) {
      if (schedule_.units[u].weights >= 0) weights.push_back(schedule_.units[u].weights);
    }
    return weights;
  }

  struct LeafBuffers {
    int batch = -1;
    std::vector<int> output, saved;
  };

  Instruction Forward(int b, int leaf, const LeafBuffers& buffers, int output, int saved) const {
    Instruction forward{.op = Op::kForward, .block = b, .leaf = leaf, .reads = WeightsOfBlock(b)};
    forward.reads.push_back(buffers.batch);
    if (b > 0) forward.reads.push_back(buffers.output[b - 1]);
    forward.writes = {output, saved};
    return forward;
  }

  void Release(std::vector<int> ids, std::vector<Instruction>& out) const {
    if (!ids.empty()) out.push_back({.op = Op::kRelease, .reads = std::move(ids)});
  }

  std::string LeafName(absl::string_view what, int b, int64_t leaf) const {
    return absl::StrCat(what, ".", input_.blocks[b].name, ".", leaf);
  }

  void CompileRank(LeafRange leaves, std::vector<Instruction>& out) {
    accumulated_.assign(schedule_.units.size(), false);
    next_bucket_ = 0;
    if (leaves.first == leaves.last) {
      for (size_t u = 0; u < schedule_.units.size(); ++u) {
        out.push_back({.op = Op::kZero, .unit = static_cast<int>(u), .writes = {schedule_.units[u].gradient_sum}});
      }
      ReduceBucketsBelow(0, out);
    }
    for (int64_t first = leaves.first; first < leaves.last; first += input_.leaves_per_micro_batch) {
      const int64_t last = std::min(first + input_.leaves_per_micro_batch, leaves.last);
      CompileMicroBatch({first, last}, last == leaves.last, out);
    }
    MILLRACE_CHECK(next_bucket_ == schedule_.buckets.size());
    CompileUpdate(out);
  }

  void CompileMicroBatch(LeafRange leaves, bool last_micro_batch, std::vector<Instruction>& out) {
    std::map<int64_t, LeafBuffers> buffers_of;
    for (int64_t leaf = leaves.first; leaf < leaves.last; ++leaf) {
      LeafBuffers& buffers = buffers_of[leaf];
      buffers.batch = NewBuffer(absl::StrCat("batch.", leaf), BufferKind::kBatch, input_.batch_bytes_per_leaf);
      out.push_back({.op = Op::kLoad, .leaf = static_cast<int>(leaf), .writes = {buffers.batch}});
    }
    for (int b = 0; b < num_blocks_; ++b) {
      const bool last_block = b == num_blocks_ - 1;
      for (auto& [leaf, buffers] : buffers_of) {
        buffers.output.push_back(NewBuffer(LeafName("out", b, leaf),
                                           last_block ? BufferKind::kScalar : BufferKind::kActivation,
                                           last_block ? 4 : input_.blocks[b].output_bytes_per_leaf));
        buffers.saved.push_back(
            NewBuffer(LeafName("saved", b, leaf), BufferKind::kSaved, input_.blocks[b].saved_bytes_per_leaf));
        out.push_back(Forward(b, leaf, buffers, buffers.output[b], buffers.saved[b]));
        // The last block's backward follows at once: there is nothing to win by running it again.
        if (input_.recompute && !last_block) Release({buffers.saved[b]}, out);
        if (last_block) {
          const int report = static_cast<int>(schedule_.units.size()) - 1;
          Accumulate(b, leaf, report, buffers.output[b], out);
          Release({buffers.output[b]}, out);
        }
      }
    }
    std::map<int64_t, int> gradient_of;
    for (int b = num_blocks_ - 1; b >= 0; --b) {
      for (auto& [leaf, buffers] : buffers_of) CompileBackward(b, leaf, buffers, gradient_of, out);
      if (last_micro_batch) ReduceBucketsBelow(b, out);
    }
  }

  void CompileBackward(int b, int64_t leaf, LeafBuffers& buffers, std::map<int64_t, int>& gradient_of,
                       std::vector<Instruction>& out) {
    std::vector<int> done;
    if (input_.recompute && b < num_blocks_ - 1) {
      const int again =
          NewBuffer(LeafName("out_again", b, leaf), BufferKind::kActivation, input_.blocks[b].output_bytes_per_leaf);
      buffers.saved[b] =
          NewBuffer(LeafName("saved_again", b, leaf), BufferKind::kSaved, input_.blocks[b].saved_bytes_per_leaf);
      out.push_back(Forward(b, leaf, buffers, again, buffers.saved[b]));
      Release({again}, out);
    }
    Instruction backward{.op = Op::kBackward, .block = b, .leaf = static_cast<int>(leaf), .reads = WeightsOfBlock(b)};
    backward.reads.push_back(buffers.batch);
    if (b > 0) backward.reads.push_back(buffers.output[b - 1]);
    backward.reads.push_back(buffers.saved[b]);
    done.push_back(buffers.saved[b]);
    if (b < num_blocks_ - 1) {
      backward.reads.push_back(gradient_of[leaf]);
      done.push_back(gradient_of[leaf]);
    }
    if (b > 0) {
      gradient_of[leaf] = NewBuffer(LeafName("grad", b - 1, leaf), BufferKind::kActivationGradient,
                                    input_.blocks[b - 1].output_bytes_per_leaf);
      backward.writes.push_back(gradient_of[leaf]);
      done.push_back(buffers.output[b - 1]);
    } else {
      done.push_back(buffers.batch);
    }
    int64_t gradient_bytes = 0;
    for (const int t : input_.blocks[b].tensors) gradient_bytes += 4 * input_.tensors[t].elements;
    const int gradients = NewBuffer(LeafName("leaf_grad", b, leaf), BufferKind::kLeafGradient, gradient_bytes);
    backward.writes.push_back(gradients);
    done.push_back(gradients);
    out.push_back(std::move(backward));
    for (const int u : units_of_block_[b]) {
      if (schedule_.units[u].weights >= 0) Accumulate(b, leaf, u, gradients, out);
    }
    Release(std::move(done), out);
  }

  void Accumulate(int b, int64_t leaf, int u, int from, std::vector<Instruction>& out) {
    Instruction accumulate{.op = Op::kAccumulate, .block = b, .leaf = static_cast<int>(leaf), .unit = u};
    const int sum = schedule_.units[u].gradient_sum;
    accumulate.overwrite = !accumulated_[u];
    accumulate.reads = {from};
    if (!accumulate.overwrite) accumulate.reads.push_back(sum);
    accumulate.writes = {sum};
    accumulated_[u] = true;
    out.push_back(std::move(accumulate));
  }

  // Reduces the buckets that are complete once backward has run for all blocks from `b` on.
  void ReduceBucketsBelow(int b, std::vector<Instruction>& out) {
    for (; next_bucket_ < schedule_.buckets.size(); ++next_bucket_) {
      Instruction reduce{.op = Op::kAllReduce, .bucket = static_cast<int>(next_bucket_)};
      for (const int u : schedule_.buckets[next_bucket_].units) {
        if (schedule_.units[u].blocks.front() < b) return;
        reduce.reads.push_back(schedule_.units[u].gradient_sum);
      }
      // The report tells whether all of a step holds, so that its bucket waits for all of backward.
      if (next_bucket_ + 1 == schedule_.buckets.size() && b > 0) return;
      reduce.writes = reduce.reads;
      out.push_back(std::move(reduce));
    }
  }

  void CompileUpdate(std::vector<Instruction>& out) {
    Instruction norm{.op = Op::kNorm, .writes = {norm_}};
    for (const Unit& unit : schedule_.units) norm.reads.push_back(unit.gradient_sum);
    const std::vector<int> sums = norm.reads;
    out.push_back(std::move(norm));
    for (size_t u = 0; u < schedule_.units.size(); ++u) {
      const Unit& unit = schedule_.units[u];
      if (unit.weights < 0) continue;
      out.push_back({.op = Op::kStep,
                     .unit = static_cast<int>(u),
                     .reads = {unit.gradient_sum, norm_, unit.weights, unit.optimizer_state},
                     .writes = {unit.weights, unit.optimizer_state}});
    }
    std::vector<int> done = sums;
    done.push_back(norm_);
    Release(std::move(done), out);
  }

  const DataParallelInput& input_;
  const int num_blocks_;
  Schedule schedule_;
  std::vector<std::vector<int>> units_of_block_;
  int norm_ = -1;
  // Of the rank that is being compiled.
  std::vector<bool> accumulated_;
  size_t next_bucket_ = 0;
};

}  // namespace

int64_t ReportElements(int world_size) { return 3 + world_size; }

LeafRange LeavesOfRank(int64_t num_leaves, int world_size, int rank) {
  return {num_leaves * rank / world_size, num_leaves * (rank + 1) / world_size};
}

absl::StatusOr<Schedule> CompileDataParallel(const DataParallelInput& input) {
  RETURN_IF_ERROR(Validate(input));
  return Compiler(input).Compile();
}

}  // namespace millrace::trainer
