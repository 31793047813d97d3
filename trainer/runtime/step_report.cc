#include "trainer/runtime/step_report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "trainer/runtime/fixed_point.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kBadLoss = -1;
constexpr int kFirstRank = 3;

}  // namespace

bool StepReport::AddLoss(float sum_of_losses, int64_t num_leaves) {
  const double units = static_cast<double>(sum_of_losses) * kLossScale;
  if (!(std::fabs(units) <= std::exp2(62) / static_cast<double>(num_leaves))) return false;
  elements_[0] += std::llrint(units);
  return true;
}

void StepReport::SetBadTensor(int rank, int tensor) {
  if (elements_[kFirstRank + rank] == 0) elements_[kFirstRank + rank] = 1 + tensor;
}

void StepReport::SetBadLoss(int rank) {
  if (elements_[kFirstRank + rank] == 0) elements_[kFirstRank + rank] = kBadLoss;
}

double StepReport::loss_sum() const { return static_cast<double>(elements_[0]) / kLossScale; }

absl::Status StepReport::ToStatus(int64_t step, const std::vector<std::string>& tensor_names) const {
  for (size_t rank = 0; rank + kFirstRank < elements_.size(); ++rank) {
    const int64_t code = elements_[kFirstRank + rank];
    if (code == 0) continue;
    const std::string what =
        code == kBadLoss ? std::string("the loss") : absl::StrCat("the gradient of \"", tensor_names[code - 1], "\"");
    return absl::InternalError(absl::StrCat(
        "step ", step, ": ", what, " is not finite or out of range (rank ", rank,
        ")\n  why: the training has diverged; the weights are still those of the step before\n"
        "  fix: a lower learning_rate, a longer warm-up or a lower max_grad_norm, from the last checkpoint on"));
  }
  return absl::OkStatus();
}

}  // namespace millrace::trainer
