// What ranks tell one another at each step beside gradients, as int64 in the last bucket, so that it costs no
// collective of its own and all ranks come to the same decision: the loss, whether any was asked to stop, and whose
// gradients could not be added.
//
//   element 0      the sum of the losses, in units of 2^-30
//   element 1      how many ranks were asked to stop (SIGTERM)
//   element 2      how many ranks want a checkpoint after this step
//   element 3 + r  0, or what rank r found wrong: 1 + the index of a tensor, or -1 for the loss
#ifndef MILLRACE_TRAINER_RUNTIME_STEP_REPORT_H_
#define MILLRACE_TRAINER_RUNTIME_STEP_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace millrace::trainer {

class StepReport {
 public:
  // `elements` has ReportElements(world size) values, zero before a step; the sum over ranks after it.
  explicit StepReport(absl::Span<int64_t> elements) : elements_(elements) {}

  // False: not finite, or too large for the sum of `num_leaves` of them.
  bool AddLoss(float sum_of_losses, int64_t num_leaves);
  void SetInterrupted() { elements_[1] = 1; }
  void SetCheckpointWanted() { elements_[2] = 1; }
  // The first one that is set stays.
  void SetBadTensor(int rank, int tensor);
  void SetBadLoss(int rank);

  double loss_sum() const;
  bool interrupted() const { return elements_[1] != 0; }
  bool checkpoint_wanted() const { return elements_[2] != 0; }
  // OK, or Internal naming rank and tensor: a step that must not be applied.
  absl::Status ToStatus(int64_t step, const std::vector<std::string>& tensor_names) const;

 private:
  absl::Span<int64_t> elements_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_STEP_REPORT_H_
