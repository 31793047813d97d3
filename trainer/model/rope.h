// Rotary position embedding (arXiv:2104.09864) in Hugging Face's half layout: element i of a head is paired with
// element i + D/2. Linear scaling divides positions by a factor (as arXiv:2306.15595).
#ifndef MILLRACE_TRAINER_MODEL_ROPE_H_
#define MILLRACE_TRAINER_MODEL_ROPE_H_

#include <cstdint>
#include <vector>

namespace millrace::trainer {

// cos and sin of each (position, frequency), in float32 as transformers computes them: the frequency theta^(-2i/D) is
// rounded to float32, divided by the factor, and multiplied by the position in float32. Immutable: thread-safe.
class RopeTable {
 public:
  // `head_dim` is even.
  RopeTable(int64_t head_dim, int64_t max_positions, double theta, double linear_factor);

  int64_t max_positions() const { return max_positions_; }
  // D/2 values each. position < max_positions().
  const float* cos(int64_t position) const { return cos_.data() + position * half_dim_; }
  const float* sin(int64_t position) const { return sin_.data() + position * half_dim_; }

  // Rotates one head's vector by its position, times `scale`; `Unrotate` by the negative, which is also the gradient.
  // `out` may be `in`.
  void Rotate(int64_t position, float scale, const float* in, float* out) const;
  void Unrotate(int64_t position, float scale, const float* in, float* out) const;

 private:
  int64_t half_dim_;
  int64_t max_positions_;
  std::vector<float> cos_;
  std::vector<float> sin_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_ROPE_H_
