// Root mean square normalization (arXiv:1910.07467): y = w * x / sqrt(mean(x^2) + epsilon), by row.
// Shapes: M rows, H columns, contiguous float32.
#ifndef MILLRACE_TRAINER_MODEL_RMS_NORM_H_
#define MILLRACE_TRAINER_MODEL_RMS_NORM_H_

#include <cstdint>

namespace millrace::trainer {

// `inverse_rms_M` is 1 / sqrt(...) of each row, for the backward pass.
void RmsNormForward(int64_t rows, int64_t hidden, float epsilon, const float* x_MH, const float* weight_H, float* y_MH,
                    float* inverse_rms_M);

// grad_x_MH = residual_grad_MH + the norm's gradient: the norm opens a branch beside a residual connection. The two may
// be the same array. Null: no residual. Overwrites grad_weight_H, each column summed in row order.
void RmsNormBackward(int64_t rows, int64_t hidden, const float* x_MH, const float* weight_H, const float* inverse_rms_M,
                     const float* grad_y_MH, const float* residual_grad_MH, float* grad_x_MH, float* grad_weight_H);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_RMS_NORM_H_
