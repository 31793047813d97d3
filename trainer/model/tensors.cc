#include "trainer/model/tensors.h"

#include "ATen/ops/empty.h"
#include "base/check.h"

namespace millrace::trainer {

const float* In(const at::Tensor& tensor) {
  MILLRACE_CHECK(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat);
  return tensor.const_data_ptr<float>();
}

float* Out(const at::Tensor& tensor) {
  MILLRACE_CHECK(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat);
  return tensor.mutable_data_ptr<float>();
}

std::vector<float*> SavedArrays(std::initializer_list<int64_t> sizes, Saved& saved) {
  saved.tensors.resize(sizes.size());
  std::vector<float*> arrays;
  arrays.reserve(sizes.size());
  for (int64_t size : sizes) {
    at::Tensor& tensor = saved.tensors[arrays.size()];
    if (!tensor.defined() || tensor.numel() != size) tensor = at::empty({size}, at::kFloat);
    arrays.push_back(tensor.mutable_data_ptr<float>());
  }
  return arrays;
}

void EnsureShape(int64_t rows, int64_t columns, at::Tensor& tensor) {
  if (tensor.defined() && tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == columns) return;
  tensor = at::empty({rows, columns}, at::kFloat);
}

}  // namespace millrace::trainer
