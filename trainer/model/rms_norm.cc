#include "trainer/model/rms_norm.h"

#include <cmath>

#include "trainer/model/parallel.h"
#include "trainer/model/simd.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kRowGrain = 64;

float SumOfSquares(const float* x, int64_t count) {
  __m256 sum = _mm256_setzero_ps();
  simd::ForEachEight(
      count,
      [&](int64_t i) {
        const __m256 v = _mm256_loadu_ps(x + i);
        sum = _mm256_fmadd_ps(v, v, sum);
      },
      [&](int64_t i, __m256i mask) {
        const __m256 v = _mm256_maskload_ps(x + i, mask);
        sum = _mm256_fmadd_ps(v, v, sum);
      });
  return simd::Sum(sum);
}

// sum of w * dy * x
float TripleProduct(const float* w, const float* dy, const float* x, int64_t count) {
  __m256 sum = _mm256_setzero_ps();
  simd::ForEachEight(
      count,
      [&](int64_t i) {
        const __m256 product = _mm256_mul_ps(_mm256_loadu_ps(w + i), _mm256_loadu_ps(dy + i));
        sum = _mm256_fmadd_ps(product, _mm256_loadu_ps(x + i), sum);
      },
      [&](int64_t i, __m256i mask) {
        const __m256 product = _mm256_mul_ps(_mm256_maskload_ps(w + i, mask), _mm256_maskload_ps(dy + i, mask));
        sum = _mm256_fmadd_ps(product, _mm256_maskload_ps(x + i, mask), sum);
      });
  return simd::Sum(sum);
}

}  // namespace

void RmsNormForward(int64_t rows, int64_t hidden, float epsilon, const float* x_MH, const float* weight_H, float* y_MH,
                    float* inverse_rms_M) {
  ParallelRange(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = x_MH + row * hidden;
      float* y = y_MH + row * hidden;
      const float inverse = 1.0f / std::sqrt(SumOfSquares(x, hidden) / static_cast<float>(hidden) + epsilon);
      inverse_rms_M[row] = inverse;
      for (int64_t i = 0; i < hidden; ++i) y[i] = weight_H[i] * (x[i] * inverse);
    }
  });
}

void RmsNormBackward(int64_t rows, int64_t hidden, const float* x_MH, const float* weight_H, const float* inverse_rms_M,
                     const float* grad_y_MH, const float* residual_grad_MH, float* grad_x_MH, float* grad_weight_H) {
  // Columns of the weight's gradient, before grad_x_MH may overwrite what it is computed from: nothing here does, but
  // grad_x_MH may be residual_grad_MH.
  ParallelRange(hidden, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) grad_weight_H[i] = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const float* x = x_MH + row * hidden;
      const float* dy = grad_y_MH + row * hidden;
      const float inverse = inverse_rms_M[row];
      for (int64_t i = begin; i < end; ++i) grad_weight_H[i] += dy[i] * (x[i] * inverse);
    }
  });
  ParallelRange(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = x_MH + row * hidden;
      const float* dy = grad_y_MH + row * hidden;
      float* dx = grad_x_MH + row * hidden;
      const float inverse = inverse_rms_M[row];
      const float scale =
          TripleProduct(weight_H, dy, x, hidden) / static_cast<float>(hidden) * inverse * inverse * inverse;
      if (residual_grad_MH != nullptr) {
        const float* residual = residual_grad_MH + row * hidden;
        for (int64_t i = 0; i < hidden; ++i) dx[i] = residual[i] + (weight_H[i] * dy[i] * inverse - x[i] * scale);
      } else {
        for (int64_t i = 0; i < hidden; ++i) dx[i] = weight_H[i] * dy[i] * inverse - x[i] * scale;
      }
    }
  });
}

}  // namespace millrace::trainer
