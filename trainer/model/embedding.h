// Looking rows of a table up, and adding gradients to them.
// Shapes: M rows, V vocabulary, H hidden size, contiguous float32; ids below V.
#ifndef MILLRACE_TRAINER_MODEL_EMBEDDING_H_
#define MILLRACE_TRAINER_MODEL_EMBEDDING_H_

#include <cstdint>

namespace millrace::trainer {

void EmbeddingForward(int64_t rows, int64_t hidden, const int64_t* ids_M, const float* table_VH, float* out_MH);

// Overwrites grad_table_VH; rows with the same id are added in row order.
void EmbeddingBackward(int64_t rows, int64_t vocabulary, int64_t hidden, const int64_t* ids_M, const float* grad_out_MH,
                       float* grad_table_VH);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_MODEL_EMBEDDING_H_
