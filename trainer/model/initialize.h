// Initial values of parameters: a function of (seed, tensor name, index of the element) alone, the same bits on every
// machine, so that whoever owns a range of a tensor makes just that range.
#ifndef MILLRACE_TRAINER_MODEL_INITIALIZE_H_
#define MILLRACE_TRAINER_MODEL_INITIALIZE_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace millrace::trainer {

// A counter-based generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// The key is (seed, SHA-256 of the name); the counter is the index. Immutable: thread-safe.
class CounterRandom {
 public:
  CounterRandom(uint64_t seed, absl::string_view name);

  // 64 random bits for this index.
  uint64_t Bits(uint64_t index) const;
  // In (0, 1): the middle of one of 2^53 equal intervals.
  double Uniform(uint64_t index) const;
  // Standard normal, by the inverse of its distribution (Wichura, algorithm AS 241, 1988), with additions,
  // multiplications, divisions and square roots only: IEEE 754 fixes every bit.
  double Normal(uint64_t index) const;

 private:
  uint32_t key_[2];
  uint32_t stream_[2];
};

// The inverse of the standard normal distribution; probability in (0, 1). Relative error about 1e-16.
double InverseNormal(double probability);

// values[i] = element begin + i of the tensor: normal with mean 0.
void FillNormal(uint64_t seed, absl::string_view name, double standard_deviation, int64_t begin, int64_t count,
                float* values);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_INITIALIZE_H_
