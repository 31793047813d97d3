// Matrix products of row-major float32 matrices, by the BLAS inside LibTorch (MKL).
//
// The bits: with MKL_CBWR=AVX2,STRICT in the environment before the first product (numerics.h), a product's bits
// depend on its operands and sizes alone, not on the thread count. A product over 1024 rows is not, in bits, two over
// 512: the leaf is the unit.
#ifndef MILLRACE_TRAINER_MODEL_GEMM_H_
#define MILLRACE_TRAINER_MODEL_GEMM_H_

#include <cstdint>

namespace millrace::trainer {

// A row-major matrix: consecutive rows are `stride` floats apart.
struct ConstMatrix {
  const float* data;
  int64_t stride;
};
struct MutableMatrix {
  float* data;
  int64_t stride;
};

// What happens to the output: overwritten, or added to.
enum class Output { kSet, kAdd };

// Shapes: c is m x n. The letters say which operand is stored transposed.
//   Nn: a is m x k, b is k x n.   Nt: a is m x k, b is n x k.   Tn: a is k x m, b is k x n.
void GemmNn(int64_t m, int64_t n, int64_t k, ConstMatrix a, ConstMatrix b, MutableMatrix c, Output output);
void GemmNt(int64_t m, int64_t n, int64_t k, ConstMatrix a, ConstMatrix b, MutableMatrix c, Output output);
void GemmTn(int64_t m, int64_t n, int64_t k, ConstMatrix a, ConstMatrix b, MutableMatrix c, Output output);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_GEMM_H_
