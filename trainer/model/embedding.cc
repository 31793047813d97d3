#include "trainer/model/embedding.h"

#include <cstring>

#include "trainer/model/parallel.h"

namespace millrace::trainer {

void EmbeddingForward(int64_t rows, int64_t hidden, const int64_t* ids_M, const float* table_VH, float* out_MH) {
  ParallelRange(rows, 256, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      std::memcpy(out_MH + row * hidden, table_VH + ids_M[row] * hidden, hidden * sizeof(float));
    }
  });
}

void EmbeddingBackward(int64_t rows, int64_t vocabulary, int64_t hidden, const int64_t* ids_M, const float* grad_out_MH,
                       float* grad_table_VH) {
  ParallelRange(vocabulary * hidden, 1 << 16, [&](int64_t begin, int64_t end) {
    std::memset(grad_table_VH + begin, 0, (end - begin) * sizeof(float));
  });
  // Each range of columns sees all rows in order.
  ParallelRange(hidden, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = grad_out_MH + row * hidden;
      float* to = grad_table_VH + ids_M[row] * hidden;
      for (int64_t i = begin; i < end; ++i) to[i] += from[i];
    }
  });
}

}  // namespace millrace::trainer
