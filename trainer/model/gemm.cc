// Straight to the BLAS that libtorch_cpu exports, which is what at::mm calls as well: the dispatcher and the checks in
// between cost several microseconds, a good part of a product of a small model.
#include "trainer/model/gemm.h"

extern "C" void sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);
// Of the calling thread; 0: the process's. Returns what it was.
extern "C" int MKL_Set_Num_Threads_Local(int threads);

namespace millrace::trainer {
namespace {

// With fewer rows than this MKL's bits depend on the thread count in spite of STRICT (seen for 2 to 14 rows, odd column
// counts among them); on one thread they are those that one thread gives.
constexpr int64_t kMinRowsForThreads = 16;

// BLAS is column-major: a row-major matrix is the transpose of what it sees, and c^T = b^T a^T.
void RowMajorGemm(const char* trans_a, const char* trans_b, int64_t m, int64_t n, int64_t k, ConstMatrix a,
                  ConstMatrix b, MutableMatrix c, Output output) {
  const int m32 = m, n32 = n, k32 = k, lda = a.stride, ldb = b.stride, ldc = c.stride;
  const float alpha = 1;
  const float beta = output == Output::kAdd ? 1 : 0;
  const int threads = m < kMinRowsForThreads ? MKL_Set_Num_Threads_Local(1) : 0;
  sgemm_(trans_b, trans_a, &n32, &m32, &k32, &alpha, b.data, &ldb, a.data, &lda, &beta, c.data, &ldc);
  if (m < kMinRowsForThreads) MKL_Set_Num_Threads_Local(threads);
}

}  // namespace

void GemmNn(int64_t m, int64_t n, int64_t k, ConstMatrix a, ConstMatrix b, MutableMatrix c, Output output) {
  RowMajorGemm("N", "N", m, n, k, a, b, c, output);
}

void GemmNt(int64_t m, int64_t n, int64_t k, ConstMatrix a, ConstMatrix b, MutableMatrix c, Output output) {
  RowMajorGemm("N", "T", m, n, k, a, b, c, output);
}

void GemmTn(int64_t m, int64_t n, int64_t k, ConstMatrix a, ConstMatrix b, MutableMatrix c, Output output) {
  RowMajorGemm("T", "N", m, n, k, a, b, c, output);
}

}  // namespace millrace::trainer
