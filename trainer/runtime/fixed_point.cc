// AVX2 has no conversion between float64 and int64. Adding 1.5 2^52 to a float64 of magnitude below 2^51 leaves its
// rounded value in the low bits of the mantissa; gradients below 2^10 (2^50 units) go this way. Larger ones are whole
// multiples of a unit already, and take the scalar way, block by block. Back: the halves of an int64 are put into the
// mantissas of two float64, whose exact sum is rounded once.
#include "trainer/runtime/fixed_point.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>

namespace millrace::trainer {
namespace {

constexpr int64_t kBlock = 2048;  // fits the first-level cache
constexpr float kFastLimit = 1024;

// Whether all magnitudes are at most `limit` (false for what is not a number).
bool AllWithin(int64_t count, const float* values, float limit) {
  const __m256 sign = _mm256_set1_ps(-0.0f), bound = _mm256_set1_ps(limit);
  __m256 beyond = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 magnitude = _mm256_andnot_ps(sign, _mm256_loadu_ps(values + i));
    beyond = _mm256_or_ps(beyond, _mm256_cmp_ps(magnitude, bound, _CMP_NLE_UQ));
  }
  bool within = _mm256_movemask_ps(beyond) == 0;
  for (; i < count; ++i) within &= std::fabs(values[i]) <= limit;
  return within;
}

int64_t Rounded(float value) { return std::llrint(static_cast<double>(value) * kGradientScale); }

template <bool overwrite>
void AccumulateFast(int64_t count, const float* gradient, int64_t* sum) {
  const __m256d scale = _mm256_set1_pd(kGradientScale), magic = _mm256_set1_pd(6755399441055744.0);  // 1.5 2^52
  const __m256i magic_bits = _mm256_castpd_si256(magic);
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256d units = _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(gradient + i)), scale);
    __m256i rounded = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(units, magic)), magic_bits);
    __m256i* to = reinterpret_cast<__m256i*>(sum + i);
    if (!overwrite) rounded = _mm256_add_epi64(rounded, _mm256_loadu_si256(to));
    _mm256_storeu_si256(to, rounded);
  }
  for (; i < count; ++i) sum[i] = (overwrite ? 0 : sum[i]) + Rounded(gradient[i]);
}

}  // namespace

float GradientLimit(int64_t num_leaves) {
  double limit = 2097152.0;  // 2^21: with two blocks that share a tensor a sum stays below 2^62 units
  for (int64_t n = 1; n < num_leaves; n *= 2) limit /= 2;
  return static_cast<float>(limit);
}

bool AccumulateGradient(int64_t count, const float* gradient, float limit, bool overwrite, int64_t* sum) {
  for (int64_t first = 0; first < count; first += kBlock) {
    const int64_t n = std::min(kBlock, count - first);
    const float* from = gradient + first;
    int64_t* to = sum + first;
    if (AllWithin(n, from, std::min(limit, kFastLimit))) {
      overwrite ? AccumulateFast<true>(n, from, to) : AccumulateFast<false>(n, from, to);
      continue;
    }
    if (!AllWithin(n, from, limit)) return false;
    for (int64_t i = 0; i < n; ++i) to[i] = (overwrite ? 0 : to[i]) + Rounded(from[i]);
  }
  return true;
}

void ToFloat(int64_t count, const int64_t* sum, double scale, float* out) {
  const __m256d factor = _mm256_set1_pd(scale);
  const __m256d high_bias = _mm256_set1_pd(442721857769029238784.0);  // 3 2^67
  const __m256d both_bias = _mm256_set1_pd(442726361368656609280.0);  // 3 2^67 + 2^52
  const __m256d low_bias = _mm256_set1_pd(4503599627370496.0);        // 2^52
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i value = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sum + i));
    // The upper 48 bits, as a multiple of 2^16 in the mantissa of 3 2^67; the lower 16 in that of 2^52.
    __m256i high = _mm256_blend_epi16(_mm256_srai_epi32(value, 16), _mm256_setzero_si256(), 0x33);
    high = _mm256_add_epi64(high, _mm256_castpd_si256(high_bias));
    const __m256i low = _mm256_blend_epi16(value, _mm256_castpd_si256(low_bias), 0x88);
    const __m256d exact_high = _mm256_sub_pd(_mm256_castsi256_pd(high), both_bias);
    const __m256d rounded = _mm256_add_pd(exact_high, _mm256_castsi256_pd(low));
    _mm_storeu_ps(out + i, _mm256_cvtpd_ps(_mm256_mul_pd(rounded, factor)));
  }
  for (; i < count; ++i) out[i] = static_cast<float>(static_cast<double>(sum[i]) * scale);
}

}  // namespace millrace::trainer
