// Softmax cross-entropy of rows of logits, in place.
// Shapes: C rows (a chunk), V vocabulary; logits_CV contiguous float32.
#ifndef MILLRACE_TRAINER_MODEL_CROSS_ENTROPY_H_
#define MILLRACE_TRAINER_MODEL_CROSS_ENTROPY_H_

#include <cstdint>

namespace millrace::trainer {

// Writes loss_C = log(sum_v e^logit_v) - logit_target (0 where the target is -1), turns logits into e^(logit - maximum)
// and writes sum_C, their sums, which CrossEntropyBackward takes. Targets are -1 or below V.
void CrossEntropyForward(int64_t rows, int64_t vocabulary, const int64_t* targets_C, float* logits_CV, float* loss_C,
                         float* sum_C);

// Turns what CrossEntropyForward left into the gradient with regard to the logits of (sum of losses) / divisor; rows
// without a target become 0.
void CrossEntropyBackward(int64_t rows, int64_t vocabulary, const int64_t* targets_C, const float* sum_C,
                          double divisor, float* exponentials_CV);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_CROSS_ENTROPY_H_
