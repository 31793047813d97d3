// Sums through memory that the ranks of one host share: a tenth of the processor time that they cost over a loopback
// connection. Another comm carries everything else, and tells of a peer that is gone.
#ifndef MILLRACE_TRAINER_COMM_SHARED_MEMORY_COMM_H_
#define MILLRACE_TRAINER_COMM_SHARED_MEMORY_COMM_H_

#include <memory>

#include "trainer/comm/comm.h"

namespace millrace::trainer {

// Allocate() gives shared memory where all ranks of `inner` run on one host and there is room for it in /dev/shm; else
// what `inner` gives. Large AllReduceSums of such memory are done in it, between two small ones of `inner`; the sums of
// int64 are the same bits either way. The memory has no name once it is there: nothing is left behind by a rank that is
// killed.
std::unique_ptr<Comm> NewSharedMemoryComm(std::unique_ptr<Comm> inner);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_COMM_SHARED_MEMORY_COMM_H_
