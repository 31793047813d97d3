#include "trainer/optim/norm.h"

#include <algorithm>

#include "trainer/model/parallel.h"
#include "trainer/model/simd.h"

namespace millrace::trainer {
namespace {

double SumOfSquares(const float* values, int64_t count) {
  __m256d even = _mm256_setzero_pd(), odd = _mm256_setzero_pd();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 x = _mm256_loadu_ps(values + i);
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    even = _mm256_fmadd_pd(low, low, even);
    odd = _mm256_fmadd_pd(high, high, odd);
  }
  double sum = simd::Sum(_mm256_add_pd(even, odd));
  for (; i < count; ++i) sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

}  // namespace

void SumOfSquaresBlocks(int64_t count, const float* values, double* sums) {
  ParallelRange(NormBlocks(count), 8, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      sums[block] = SumOfSquares(values + block * kNormBlock, std::min(kNormBlock, count - block * kNormBlock));
    }
  });
}

double ClipFactor(double norm, double max_norm) {
  if (max_norm <= 0) return 1;
  return std::min(1.0, max_norm / (norm + 1e-6));
}

}  // namespace millrace::trainer
