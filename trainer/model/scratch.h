// Memory that a kernel needs only while it runs, kept by each thread from call to call: no page faults after the first.
#ifndef MILLRACE_TRAINER_MODEL_SCRATCH_H_
#define MILLRACE_TRAINER_MODEL_SCRATCH_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace millrace::trainer {

// A grow-only array of floats, aligned to a cache line. Content is undefined after Get(). Not thread-safe: make it
// thread_local.
class Scratch {
 public:
  float* Get(int64_t count) {
    if (count > capacity_) {
      memory_.reset();
      capacity_ = (count + 15) / 16 * 16;
      memory_.reset(static_cast<float*>(std::aligned_alloc(64, capacity_ * sizeof(float))));
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  std::unique_ptr<float, Free> memory_;
  int64_t capacity_ = 0;
};

// Hands out pieces of one Scratch allocation, each aligned to a cache line: add up the sizes first, then take.
inline int64_t Aligned(int64_t count) { return (count + 15) / 16 * 16; }

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_SCRATCH_H_
