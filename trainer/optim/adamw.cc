#include "trainer/optim/adamw.h"

#include <cmath>

#include "trainer/model/parallel.h"

namespace millrace::trainer {

void AdamWStep(const AdamWOptions& options, int64_t count, const float* gradient, float* parameter, float* first_moment,
               float* second_moment) {
  const double correction1 = 1 - std::pow(options.beta1, static_cast<double>(options.step));
  const double correction2 = 1 - std::pow(options.beta2, static_cast<double>(options.step));
  const float keep = static_cast<float>(1 - options.learning_rate * options.weight_decay);
  const float beta2 = static_cast<float>(options.beta2);
  const float one_minus_beta1 = static_cast<float>(1 - options.beta1);
  const float one_minus_beta2 = static_cast<float>(1 - options.beta2);
  const float step_size = static_cast<float>(options.learning_rate / correction1);
  const float correction2_sqrt = static_cast<float>(std::sqrt(correction2));
  const float epsilon = static_cast<float>(options.epsilon);
  const float scale = static_cast<float>(options.gradient_scale);
  // Plain loops: the compiler makes them AVX2, and without contraction each operation rounds as written.
  ParallelRange(count, 1 << 15, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float g = gradient[i] * scale;
      const float m = first_moment[i] + one_minus_beta1 * (g - first_moment[i]);
      const float v = second_moment[i] * beta2 + one_minus_beta2 * g * g;
      first_moment[i] = m;
      second_moment[i] = v;
      parameter[i] = parameter[i] * keep - step_size * (m / (std::sqrt(v) / correction2_sqrt + epsilon));
    }
  });
}

}  // namespace millrace::trainer
