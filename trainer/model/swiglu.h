// SwiGLU (arXiv:2002.05202): activation = silu(gate) * up, elementwise over contiguous float32 arrays.
#ifndef MILLRACE_TRAINER_MODEL_SWIGLU_H_
#define MILLRACE_TRAINER_MODEL_SWIGLU_H_

#include <cstdint>

namespace millrace::trainer {

void SwigluForward(int64_t count, const float* gate, const float* up, float* activation);

// grad_gate may be grad_activation, or grad_up may.
void SwigluBackward(int64_t count, const float* gate, const float* up, const float* grad_activation, float* grad_gate,
                    float* grad_up);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_SWIGLU_H_
