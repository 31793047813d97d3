// Where the runtime gets a step's sequences from.
#ifndef MILLRACE_TRAINER_RUNTIME_LEAF_SOURCE_H_
#define MILLRACE_TRAINER_RUNTIME_LEAF_SOURCE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/model/block.h"

namespace millrace::trainer {

// Used by one thread. What a (step, leaf) holds must not depend on who asks.
class LeafSource {
 public:
  virtual ~LeafSource() = default;

  // Must be called before Load and loss_divisor; steps count from 1.
  virtual absl::Status BeginStep(int64_t step) = 0;
  // Leaf.loss_divisor of the step's leaves: (targets of the global batch) / (its leaves).
  virtual double loss_divisor() const = 0;
  // Fills in `leaf`, whose tensors are used again where they fit. `index` counts over the global batch.
  virtual absl::Status Load(int64_t index, Leaf& leaf) = 0;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_LEAF_SOURCE_H_
