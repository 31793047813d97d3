// Small matrix products inside a kernel, on data that is in the cache: C (m x n) = or += A (m x k) B (k x n).
//
// A's element (i, p) is a[i * a_row + p * a_column], so that A may be transposed. B and C have rows of consecutive
// floats; n is a multiple of 8. Each element of C is one chain of fused multiply-adds in the order of p: its bits do
// not depend on how a caller cuts m and n.
#ifndef MILLRACE_TRAINER_MODEL_TILE_GEMM_H_
#define MILLRACE_TRAINER_MODEL_TILE_GEMM_H_

#include <immintrin.h>

#include <cstdint>

namespace millrace::trainer::tile {

struct A {
  const float* data;
  int64_t row;     // from row to row
  int64_t column;  // from column to column
};

// Rows x (8 Vectors) of C in registers: 6 x 2 accumulators, two of B and one of A are 15 of the 16 registers.
template <int Rows, int Vectors, bool Add>
inline __attribute__((always_inline)) void Register(int64_t k, A a, const float* b, int64_t b_row, float* c,
                                                    int64_t c_row) {
  __m256 sum[Rows][Vectors];
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) sum[i][j] = Add ? _mm256_loadu_ps(c + i * c_row + j * 8) : _mm256_setzero_ps();
  }
  for (int64_t p = 0; p < k; ++p) {
    __m256 row_of_b[Vectors];
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) row_of_b[j] = _mm256_loadu_ps(b + p * b_row + j * 8);
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) {
      const __m256 value = _mm256_broadcast_ss(a.data + i * a.row + p * a.column);
#pragma GCC unroll 2
      for (int j = 0; j < Vectors; ++j) sum[i][j] = _mm256_fmadd_ps(value, row_of_b[j], sum[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) _mm256_storeu_ps(c + i * c_row + j * 8, sum[i][j]);
  }
}

template <int Vectors, bool Add>
inline void Rows(int64_t m, int64_t k, A a, const float* b, int64_t b_row, float* c, int64_t c_row) {
  switch (m) {
    case 6:
      return Register<6, Vectors, Add>(k, a, b, b_row, c, c_row);
    case 5:
      return Register<5, Vectors, Add>(k, a, b, b_row, c, c_row);
    case 4:
      return Register<4, Vectors, Add>(k, a, b, b_row, c, c_row);
    case 3:
      return Register<3, Vectors, Add>(k, a, b, b_row, c, c_row);
    case 2:
      return Register<2, Vectors, Add>(k, a, b, b_row, c, c_row);
    case 1:
      return Register<1, Vectors, Add>(k, a, b, b_row, c, c_row);
  }
}

inline constexpr int64_t kRows = 6;      // of a register tile
inline constexpr int64_t kColumns = 16;  // of a register tile

// m at most kRows, any n that is a multiple of 8.
template <bool Add>
inline void RowBlock(int64_t m, int64_t n, int64_t k, A a, const float* b, int64_t b_row, float* c, int64_t c_row) {
  int64_t j = 0;
  for (; j + kColumns <= n; j += kColumns) Rows<2, Add>(m, k, a, b + j, b_row, c + j, c_row);
  if (j < n) Rows<1, Add>(m, k, a, b + j, b_row, c + j, c_row);
}

}  // namespace millrace::trainer::tile

#endif  // MILLRACE_TRAINER_MODEL_TILE_GEMM_H_
