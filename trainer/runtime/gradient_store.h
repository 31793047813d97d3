// The gradient sums of a step, in the schedule's layout: each bucket one piece of memory, its units one after the
// other, a unit's tensors one after the other; the report at the end of the last bucket. Per element 8 bytes (int64)
// or 4.
#ifndef MILLRACE_TRAINER_RUNTIME_GRADIENT_STORE_H_
#define MILLRACE_TRAINER_RUNTIME_GRADIENT_STORE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "trainer/comm/comm.h"
#include "trainer/optim/norm.h"
#include "trainer/schedule/schedule.h"

namespace millrace::trainer {

enum class GradientSum { kInt64, kFloat32 };

// Fixed blocks within a tensor: the unit of partial sums and of work for threads.
inline constexpr int64_t kGradientBlock = kNormBlock;

// Not thread-safe, but for AllReduce of one bucket beside Accumulate into another.
class GradientStore {
 public:
  // `elements` of each tensor of the schedule's input. The memory is the comm's, which must outlive the store.
  // Errors: Comm::Allocate's.
  static absl::StatusOr<GradientStore> New(const Schedule& schedule, std::vector<int64_t> elements, GradientSum mode,
                                           Comm& comm);

  absl::Span<int64_t> report();
  void Zero(const Unit& unit);
  // Adds one leaf's gradient of a tensor. False: not finite, or out of range (fixed_point.h).
  bool Accumulate(int tensor, const float* gradient, bool overwrite);
  absl::Status AllReduce(int bucket, Comm& comm);

  // Turns the sums into float32 means over the leaves, in place, and returns their L2 norm: float64 sums over blocks,
  // added tensor after tensor. `order` has all tensors, in the order that decides the bits.
  double FinishAndNorm(const std::vector<int>& order);
  // After FinishAndNorm: elements [block * kGradientBlock, ...) of a tensor's mean gradient.
  const float* MeanBlock(int tensor, int64_t block) const;

 private:
  GradientStore(const Schedule& schedule, std::vector<int64_t> elements, GradientSum mode);

  struct Piece {  // of a bucket
    int64_t begin = 0;
    int64_t elements = 0;
  };

  int64_t num_leaves_;
  bool integer_;
  std::vector<int64_t> elements_;
  std::vector<int64_t> offset_of_tensor_;
  std::vector<Piece> buckets_;
  std::vector<int64_t> report_;  // with float32 sums, where it is apart
  int64_t report_offset_ = 0;    // with int64 sums
  int64_t size_bytes_ = 0;
  int64_t* integers_ = nullptr;  // the comm's memory, as one of the two
  float* floats_ = nullptr;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_GRADIENT_STORE_H_
