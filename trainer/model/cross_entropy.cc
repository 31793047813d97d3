#include "trainer/model/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "trainer/model/parallel.h"
#include "trainer/model/simd.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kRowGrain = 4;
// Sums in float32 are kept this short, then added in float64: a vocabulary of 100 000 loses no digits.
constexpr int64_t kSumBlock = 2048;

float Maximum(const float* x, int64_t count) {
  __m256 four[4];
  for (__m256& m : four) m = _mm256_set1_ps(-std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    for (int j = 0; j < 4; ++j) four[j] = _mm256_max_ps(four[j], _mm256_loadu_ps(x + i + 8 * j));
  }
  float maximum = simd::Max(_mm256_max_ps(_mm256_max_ps(four[0], four[1]), _mm256_max_ps(four[2], four[3])));
  for (; i < count; ++i) maximum = std::max(maximum, x[i]);
  return maximum;
}

// x becomes e^(x - maximum); returns the sum.
double Exponentiate(float* x, int64_t count, float maximum) {
  const __m256 shift = _mm256_set1_ps(maximum);
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kSumBlock) {
    const int64_t length = std::min(kSumBlock, count - begin);
    float* block = x + begin;
    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 16 <= length; i += 16) {
      const __m256 a = simd::Exp(_mm256_sub_ps(_mm256_loadu_ps(block + i), shift));
      const __m256 b = simd::Exp(_mm256_sub_ps(_mm256_loadu_ps(block + i + 8), shift));
      _mm256_storeu_ps(block + i, a);
      _mm256_storeu_ps(block + i + 8, b);
      even = _mm256_add_ps(even, a);
      odd = _mm256_add_ps(odd, b);
    }
    for (; i < length; i += 8) {
      const __m256i mask = simd::FirstLanes(std::min<int64_t>(8, length - i));
      const __m256 a = _mm256_and_ps(simd::Exp(_mm256_sub_ps(_mm256_maskload_ps(block + i, mask), shift)),
                                     _mm256_castsi256_ps(mask));
      _mm256_maskstore_ps(block + i, mask, a);
      even = _mm256_add_ps(even, a);
    }
    total += simd::Sum(_mm256_add_ps(even, odd));
  }
  return total;
}

}  // namespace

void CrossEntropyForward(int64_t rows, int64_t vocabulary, const int64_t* targets_C, float* logits_CV, float* loss_C,
                         float* sum_C) {
  ParallelRange(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t target = targets_C[row];
      loss_C[row] = 0;
      sum_C[row] = 1;
      if (target < 0) continue;
      float* logits = logits_CV + row * vocabulary;
      const float target_logit = logits[target];
      const float maximum = Maximum(logits, vocabulary);
      const double sum = Exponentiate(logits, vocabulary, maximum);
      sum_C[row] = static_cast<float>(sum);
      loss_C[row] = static_cast<float>(std::log(sum) - (static_cast<double>(target_logit) - maximum));
    }
  });
}

void CrossEntropyBackward(int64_t rows, int64_t vocabulary, const int64_t* targets_C, const float* sum_C,
                          double divisor, float* exponentials_CV) {
  ParallelRange(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* gradient = exponentials_CV + row * vocabulary;
      if (targets_C[row] < 0) {
        std::fill(gradient, gradient + vocabulary, 0.0f);
        continue;
      }
      const float scale = static_cast<float>(1.0 / (static_cast<double>(sum_C[row]) * divisor));
      for (int64_t i = 0; i < vocabulary; ++i) gradient[i] *= scale;
      gradient[targets_C[row]] -= static_cast<float>(1.0 / divisor);
    }
  });
}

}  // namespace millrace::trainer
