// The intermediate representation of one optimizer step: for each rank an ordered list of instructions over named
// buffers. A pass makes it (data_parallel.h), the checker proves it (check.h), the simulator sizes it (simulate.h), the
// runtime executes it (trainer/runtime). Nothing here knows what is inside a block.
//
// Terms
//   leaf     the sequences that enter a kernel together; the leaves of all ranks make up the global batch
//   block    one differentiable unit of the model (trainer/model/block.h)
//   unit     the logical tensors that the same blocks name, so that their gradients are complete together. One more,
//   the
//            "report" unit, sums what is not a gradient: the loss, and each rank's word on whether the step holds.
//   bucket   units that are reduced with one collective
//   buffer   memory with a name; each rank has its own. A persistent one (weights, optimizer state) outlives the step,
//            any other is written, used and released within it. All but gradient sums are written once.
#ifndef MILLRACE_TRAINER_SCHEDULE_SCHEDULE_H_
#define MILLRACE_TRAINER_SCHEDULE_SCHEDULE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace millrace::trainer {

enum class Op {
  kLoad,           // read the leaf's sequences                            -> batch
  kForward,        // weights, batch, input activation                     -> output activation, saved
  kBackward,       // weights, batch, input, saved, output's gradient      -> input's gradient, leaf gradients
  kZero,           //                                                      -> gradient sum
  kAccumulate,     // leaf gradients (or the loss), gradient sum           -> gradient sum
  kAllReduce,      // gradient sums of a bucket                            -> the same, summed over all ranks
  kReduceScatter,  // gradient sums of a bucket                            -> this rank's part, summed over all ranks
  kGather,         // this rank's part of a unit's weights                 -> all of them
  kSend,           // an activation or its gradient, to `peer`
  kReceive,        //                                                      -> an activation or its gradient, from `peer`
  kNorm,           // all gradient sums                                    -> the gradient's global L2 norm
  kStep,           // gradient sum, norm, weights, optimizer state         -> weights, optimizer state
  kRelease,        // ends the life of the buffers it reads
};
absl::string_view OpName(Op op);

enum class BufferKind {
  kWeights,
  kOptimizerState,
  kBatch,
  kActivation,
  kSaved,
  kActivationGradient,
  kLeafGradient,
  kGradientSum,
  kScalar,
};

struct Buffer {
  std::string name;
  BufferKind kind = BufferKind::kActivation;
  int64_t size_bytes = 0;
  bool persistent() const { return kind == BufferKind::kWeights || kind == BufferKind::kOptimizerState; }
};

// Indices are into the schedule's lists; -1: does not apply. `reads` and `writes` are everything it touches, in the
// order of the table above.
struct Instruction {
  Op op = Op::kRelease;
  int block = -1;
  int leaf = -1;
  int unit = -1;
  int bucket = -1;
  int peer = -1;
  // kAccumulate: the first contribution of this rank, which replaces what is in the buffer.
  bool overwrite = false;
  std::vector<int> reads;
  std::vector<int> writes;

  friend bool operator==(const Instruction&, const Instruction&) = default;
};

struct Unit {
  std::string name;          // the blocks' names joined by '+', or "report"
  std::vector<int> blocks;   // those that contribute, ascending
  std::vector<int> tensors;  // logical tensors, in the order in which they lie in the gradient sum
  int64_t elements = 0;
  int weights = -1, optimizer_state = -1, gradient_sum = -1;  // buffers; the report has only the last
};

struct Bucket {
  std::vector<int> units;  // in the order in which they lie in memory
};

struct Schedule {
  int world_size = 1;
  int64_t num_leaves = 1;
  std::vector<std::string> blocks;
  std::vector<Unit> units;
  std::vector<Bucket> buckets;
  std::vector<Buffer> buffers;
  std::vector<std::vector<Instruction>> ranks;

  // "backward layers.0 leaf=1 : weights.layers.0 batch.1 ... -> ..."
  std::string ToString(const Instruction& instruction) const;
  // The whole of it; what goldens compare.
  std::string ToString() const;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SCHEDULE_SCHEDULE_H_
