// The parts of a gradient's L2 norm that do not depend on who computes them.
#ifndef MILLRACE_TRAINER_OPTIM_NORM_H_
#define MILLRACE_TRAINER_OPTIM_NORM_H_

#include <cstdint>

namespace millrace::trainer {

// Elements of one partial sum. Blocks start at multiples of this within a logical tensor, so that a range of a tensor
// that starts at one has the same partial sums as the whole tensor.
inline constexpr int64_t kNormBlock = 4096;

inline constexpr int64_t NormBlocks(int64_t count) { return (count + kNormBlock - 1) / kNormBlock; }

// sums[b] = the sum of the squares of elements [b * kNormBlock, ...) in float64, added in a fixed order. Whoever wants
// the norm adds the sums of all tensors in name order, each tensor's in block order.
void SumOfSquaresBlocks(int64_t count, const float* values, double* sums);

// What gradients are multiplied by so that their norm is at most `max_norm` (0: no bound), as
// torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1.
double ClipFactor(double norm, double max_norm);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_OPTIM_NORM_H_
