#include "trainer/model/swiglu.h"

#include "trainer/model/parallel.h"
#include "trainer/model/simd.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kGrain = 1 << 14;

__m256 Sigmoid(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  return _mm256_div_ps(one, _mm256_add_ps(one, simd::Exp(_mm256_sub_ps(_mm256_setzero_ps(), x))));
}

// Splits only at multiples of eight: an element is computed in the same lane whatever the thread count.
template <typename Full, typename Partial>
void ParallelEights(int64_t count, Full full, Partial partial) {
  const int64_t eights = (count + 7) / 8;
  ParallelRange(eights, kGrain / 8, [&](int64_t begin, int64_t end) {
    for (int64_t eight = begin; eight < end; ++eight) {
      if (const int64_t i = eight * 8; i + 8 <= count) {
        full(i);
      } else {
        partial(i, simd::FirstLanes(count - i));
      }
    }
  });
}

}  // namespace

void SwigluForward(int64_t count, const float* gate, const float* up, float* activation) {
  const auto value = [](__m256 g, __m256 u) { return _mm256_mul_ps(_mm256_mul_ps(g, Sigmoid(g)), u); };
  ParallelEights(
      count,
      [&](int64_t i) { _mm256_storeu_ps(activation + i, value(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i))); },
      [&](int64_t i, __m256i mask) {
        _mm256_maskstore_ps(activation + i, mask,
                            value(_mm256_maskload_ps(gate + i, mask), _mm256_maskload_ps(up + i, mask)));
      });
}

void SwigluBackward(int64_t count, const float* gate, const float* up, const float* grad_activation, float* grad_gate,
                    float* grad_up) {
  const __m256 one = _mm256_set1_ps(1.0f);
  // silu'(g) = s (1 + g (1 - s)), s the sigmoid of g.
  const auto gradients = [&](__m256 g, __m256 u, __m256 d, __m256& dg, __m256& du) {
    const __m256 s = Sigmoid(g);
    const __m256 derivative = _mm256_mul_ps(s, _mm256_fmadd_ps(g, _mm256_sub_ps(one, s), one));
    dg = _mm256_mul_ps(_mm256_mul_ps(d, u), derivative);
    du = _mm256_mul_ps(d, _mm256_mul_ps(g, s));
  };
  ParallelEights(
      count,
      [&](int64_t i) {
        __m256 dg, du;
        gradients(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i), _mm256_loadu_ps(grad_activation + i), dg, du);
        _mm256_storeu_ps(grad_gate + i, dg);
        _mm256_storeu_ps(grad_up + i, du);
      },
      [&](int64_t i, __m256i mask) {
        __m256 dg, du;
        gradients(_mm256_maskload_ps(gate + i, mask), _mm256_maskload_ps(up + i, mask),
                  _mm256_maskload_ps(grad_activation + i, mask), dg, du);
        _mm256_maskstore_ps(grad_gate + i, mask, dg);
        _mm256_maskstore_ps(grad_up + i, mask, du);
      });
}

}  // namespace millrace::trainer
