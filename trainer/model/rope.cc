#include "trainer/model/rope.h"

#include <cmath>

namespace millrace::trainer {

RopeTable::RopeTable(int64_t head_dim, int64_t max_positions, double theta, double linear_factor)
    : half_dim_(head_dim / 2),
      max_positions_(max_positions),
      cos_(max_positions * half_dim_),
      sin_(max_positions * half_dim_) {
  for (int64_t i = 0; i < half_dim_; ++i) {
    const float power = static_cast<float>(std::pow(theta, 2.0 * i / head_dim));
    const float frequency = 1.0f / power / static_cast<float>(linear_factor);
    for (int64_t position = 0; position < max_positions; ++position) {
      const double angle = static_cast<float>(position) * frequency;  // rounded to float32 first
      cos_[position * half_dim_ + i] = static_cast<float>(std::cos(angle));
      sin_[position * half_dim_ + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void RopeTable::Rotate(int64_t position, float scale, const float* in, float* out) const {
  const float* c = cos(position);
  const float* s = sin(position);
  for (int64_t i = 0; i < half_dim_; ++i) {
    const float a = in[i], b = in[i + half_dim_];
    out[i] = (a * c[i] - b * s[i]) * scale;
    out[i + half_dim_] = (b * c[i] + a * s[i]) * scale;
  }
}

void RopeTable::Unrotate(int64_t position, float scale, const float* in, float* out) const {
  const float* c = cos(position);
  const float* s = sin(position);
  for (int64_t i = 0; i < half_dim_; ++i) {
    const float a = in[i], b = in[i + half_dim_];
    out[i] = (a * c[i] + b * s[i]) * scale;
    out[i + half_dim_] = (b * c[i] - a * s[i]) * scale;
  }
}

}  // namespace millrace::trainer
