// The pass for data parallelism: every rank holds the whole model and works on its own leaves; gradients are summed
// over leaves, then over ranks, bucket by bucket as backward completes them.
#ifndef MILLRACE_TRAINER_SCHEDULE_DATA_PARALLEL_H_
#define MILLRACE_TRAINER_SCHEDULE_DATA_PARALLEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/schedule/schedule.h"

namespace millrace::trainer {

// What the pass must know of a model and of how it is to run.
struct DataParallelInput {
  struct Tensor {
    std::string name;
    int64_t elements = 0;
  };
  struct Block {
    std::string name;
    std::vector<int> tensors;           // into `tensors`; two blocks may name one (tied embeddings)
    int64_t output_bytes_per_leaf = 0;  // also of the output's gradient; the last block writes the loss (4 bytes)
    int64_t saved_bytes_per_leaf = 0;
  };
  std::vector<Tensor> tensors;
  std::vector<Block> blocks;
  int64_t batch_bytes_per_leaf = 0;

  int world_size = 1;
  int64_t num_leaves = 1;
  // Leaves whose forward runs before their backward starts. More costs memory; it changes no bit.
  int64_t leaves_per_micro_batch = 1;
  // Run each block's forward again before its backward instead of keeping what it saved.
  bool recompute = false;
  int64_t bucket_bytes = int64_t{32} << 20;
  int gradient_sum_bytes = 8;  // of an element: int64, or 4 for float32 (then the report is a bucket of its own)
  int optimizer_bytes = 8;     // of an element: AdamW's two moments in float32
  int zero_stage = 0;
  int pipeline_parallel_size = 1;
};

// The report unit's elements are int64: the loss, two flags of the gang, and one for each rank, see
// trainer/runtime/step_report.h.
int64_t ReportElements(int world_size);

// Leaves [first, last) of a rank: contiguous, sizes differ by at most one; empty where there are more ranks than
// leaves.
struct LeafRange {
  int64_t first = 0;
  int64_t last = 0;
};
LeafRange LeavesOfRank(int64_t num_leaves, int world_size, int rank);

//   InvalidArgument: no blocks, no leaves, a size below 1, or a tensor that no block names.
//   Unimplemented: a ZeRO stage above 0 or pipeline parallelism.
absl::StatusOr<Schedule> CompileDataParallel(const DataParallelInput& input);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SCHEDULE_DATA_PARALLEL_H_
