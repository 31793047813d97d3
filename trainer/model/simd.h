// Eight floats at a time (AVX2 and FMA, which -march=x86-64-v3 promises). Sums have a fixed order, so that a kernel's
// bits depend on its input alone.
#ifndef MILLRACE_TRAINER_MODEL_SIMD_H_
#define MILLRACE_TRAINER_MODEL_SIMD_H_

#include <immintrin.h>

#include <cstdint>

namespace millrace::trainer::simd {

// ((0+4)+(2+6)) + ((1+5)+(3+7))
inline float Sum(__m256 x) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

inline double Sum(__m256d x) {
  __m128d two = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

inline float Max(__m256 x) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

// e^x within 1.5 units in the last place; 0 below -87.3 (also for -infinity), the value at 88.3 above it; NaN stays
// NaN. Range reduction by ln 2 in two parts, then the polynomial of Cephes' expf.
inline __m256 Exp(__m256 x) {
  const __m256 lowest = _mm256_set1_ps(-87.33654f);
  const __m256 is_zero = _mm256_cmp_ps(x, lowest, _CMP_LT_OQ);
  // The second operand wins where one is NaN.
  x = _mm256_min_ps(_mm256_set1_ps(88.37f), _mm256_max_ps(lowest, x));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504088896341f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.9875691500e-4f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
  p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
  p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_andnot_ps(is_zero, _mm256_mul_ps(p, _mm256_castsi256_ps(exponent)));
}

// The first `count` (0 to 8) lanes.
inline __m256i FirstLanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Calls step(offset, mask) for each eight of `count`; the last mask may be partial. For loads and stores by mask.
template <typename Full, typename Partial>
inline void ForEachEight(int64_t count, Full full, Partial partial) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) full(i);
  if (i < count) partial(i, FirstLanes(count - i));
}

}  // namespace millrace::trainer::simd

#endif  // MILLRACE_TRAINER_MODEL_SIMD_H_
