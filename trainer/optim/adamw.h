// AdamW (Loshchilov and Hutter, arXiv:1711.05101), in the arithmetic order of torch.optim.AdamW on float32.
//
// Everything here is elementwise over a range: whoever owns part of a tensor steps that part, with the same bits as one
// who owns all of it.
#ifndef MILLRACE_TRAINER_OPTIM_ADAMW_H_
#define MILLRACE_TRAINER_OPTIM_ADAMW_H_

#include <cstdint>

namespace millrace::trainer {

struct AdamWOptions {
  double learning_rate = 0;  // of this step
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;  // 0 for tensors that do not decay
  int64_t step = 1;         // from 1
  // The gradient is multiplied by this first (clipping).
  double gradient_scale = 1;
};

// Updates parameter, first_moment and second_moment:
//   parameter *= 1 - learning_rate * weight_decay
//   first_moment += (1 - beta1) (gradient - first_moment)
//   second_moment = beta2 * second_moment + (1 - beta2) gradient^2
//   parameter -= learning_rate / (1 - beta1^step) * first_moment
//                / (sqrt(second_moment) / sqrt(1 - beta2^step) + epsilon)
// Coefficients are computed in float64, then rounded to float32 once.
void AdamWStep(const AdamWOptions& options, int64_t count, const float* gradient, float* parameter, float* first_moment,
               float* second_moment);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_OPTIM_ADAMW_H_
