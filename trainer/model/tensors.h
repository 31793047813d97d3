// Tensors as plain memory, for blocks.
#ifndef MILLRACE_TRAINER_MODEL_TENSORS_H_
#define MILLRACE_TRAINER_MODEL_TENSORS_H_

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "ATen/core/Tensor.h"
#include "trainer/model/block.h"

namespace millrace::trainer {

// The tensor is contiguous float32: its memory.
const float* In(const at::Tensor& tensor);
float* Out(const at::Tensor& tensor);

// Memory of `saved`, one tensor of each size; what is there already is used again where its size fits.
std::vector<float*> SavedArrays(std::initializer_list<int64_t> sizes, Saved& saved);

// Makes `tensor` rows x columns of float32; its memory is used again where the shape is right.
void EnsureShape(int64_t rows, int64_t columns, at::Tensor& tensor);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_TENSORS_H_
