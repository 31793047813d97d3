// Sums that are exact and so do not depend on their order: float32 values are rounded once to a multiple of a power of
// two and added as int64. All layouts of one global batch (ranks, micro-batches, collectives) give the same bits.
//
// Range: with a limit L on each value's magnitude the sum of n values cannot exceed n L; GradientLimit chooses L so
// that no sum over a step's leaves wraps around. A value beyond it, or one that is not finite, is reported, never
// added.
#ifndef MILLRACE_TRAINER_RUNTIME_FIXED_POINT_H_
#define MILLRACE_TRAINER_RUNTIME_FIXED_POINT_H_

#include <cstdint>

namespace millrace::trainer {

// Gradients are multiples of 2^-40, sums of losses of 2^-30.
inline constexpr double kGradientScale = 1099511627776.0;
inline constexpr double kLossScale = 1073741824.0;

// The largest magnitude of one leaf's gradient: 2^21 for one leaf, less for more, a power of two. Depends on nothing
// that a layout may change.
float GradientLimit(int64_t num_leaves);

// sum[i] (+)= round(gradient[i] 2^40), ties to even. False: a value is not finite or its magnitude exceeds `limit`,
// which must come from GradientLimit; `sum` is then meaningless. 0.5 ns an element.
bool AccumulateGradient(int64_t count, const float* gradient, float limit, bool overwrite, int64_t* sum);

// out[i] = float(sum[i] scale), each rounded to float64 once before and to float32 once after the multiplication.
// `out` may be the memory of `sum`.
void ToFloat(int64_t count, const int64_t* sum, double scale, float* out);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_FIXED_POINT_H_
