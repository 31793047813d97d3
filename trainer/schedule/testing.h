// Small inputs for tests of schedules.
#ifndef MILLRACE_TRAINER_SCHEDULE_TESTING_H_
#define MILLRACE_TRAINER_SCHEDULE_TESTING_H_

#include "absl/strings/str_cat.h"
#include "trainer/schedule/data_parallel.h"

namespace millrace::trainer {

// Embedding, `num_layers` layers, head. Tied: the head's matrix is the embedding's, beside its own norm.
inline DataParallelInput SmallInput(int num_layers, bool tied, int world_size, int64_t num_leaves) {
  DataParallelInput input;
  input.tensors.push_back({"embed", 1000});
  input.blocks.push_back({"embed", {0}, 64, 8});
  for (int i = 0; i < num_layers; ++i) {
    const int first = static_cast<int>(input.tensors.size());
    input.tensors.push_back({absl::StrCat("layers.", i, ".norm"), 10});
    input.tensors.push_back({absl::StrCat("layers.", i, ".proj"), 500});
    input.blocks.push_back({absl::StrCat("layers.", i), {first, first + 1}, 64, 256});
  }
  const int norm = static_cast<int>(input.tensors.size());
  input.tensors.push_back({"norm", 10});
  if (!tied) input.tensors.push_back({"head", 1000});
  input.blocks.push_back({"head", {norm, tied ? 0 : norm + 1}, 4, 128});
  input.batch_bytes_per_leaf = 32;
  input.world_size = world_size;
  input.num_leaves = num_leaves;
  return input;
}

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SCHEDULE_TESTING_H_
