// Loops over disjoint outputs on the thread pool that LibTorch's own kernels use (OpenMP), so that one setting,
// at::set_num_threads, governs both and no two pools compete.
#ifndef MILLRACE_TRAINER_MODEL_PARALLEL_H_
#define MILLRACE_TRAINER_MODEL_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace millrace::trainer {

// Calls body(begin, end) for ranges that together are [0, count), each at least `grain` long where that is possible.
// How many ranges there are depends on the thread count: `body` must write, for each index, only what belongs to that
// index, by the same arithmetic whatever the range. Within a parallel region: one call, on the caller's thread.
void ParallelRange(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_PARALLEL_H_
