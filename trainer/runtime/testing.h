// A small model and made-up data, for tests of the runtime.
#ifndef MILLRACE_TRAINER_RUNTIME_TESTING_H_
#define MILLRACE_TRAINER_RUNTIME_TESTING_H_

#include <cstdint>
#include <string>

#include "trainer/arch/model_config.h"
#include "trainer/runtime/leaf_source.h"
#include "trainer/runtime/train_state.h"

namespace millrace::trainer {

// 2 layers, hidden 16, vocabulary 61.
ModelConfig SmallModel(bool tied);

// Sequences that depend on (step, leaf) alone; each seventh target does not count.
class MadeUpLeaves : public LeafSource {
 public:
  MadeUpLeaves(int64_t num_leaves, int64_t sequences_per_leaf, int64_t length, int64_t vocabulary)
      : num_leaves_(num_leaves), sequences_(sequences_per_leaf), length_(length), vocabulary_(vocabulary) {}
  absl::Status BeginStep(int64_t step) override;
  double loss_divisor() const override { return loss_divisor_; }
  absl::Status Load(int64_t index, Leaf& leaf) override;

 private:
  const int64_t num_leaves_, sequences_, length_, vocabulary_;
  int64_t step_ = 0;
  double loss_divisor_ = 1;
};

// SHA-256 over the bits of weights and moments.
std::string DigestOf(const TrainState& state);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_TESTING_H_
