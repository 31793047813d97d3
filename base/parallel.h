// Work on several threads, with results that do not depend on how many there are: each index writes only its own
// place, and whoever combines does it in index order.
#ifndef MILLRACE_BASE_PARALLEL_H_
#define MILLRACE_BASE_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace millrace {

// Calls body(i) once for each i in [0, count), on up to `threads` threads (the caller's among them). Indices are taken
// in increasing order. Returns when all have ended. `body` must not throw.
void ParallelFor(int threads, int64_t count, const std::function<void(int64_t)>& body);

}  // namespace millrace

#endif  // MILLRACE_BASE_PARALLEL_H_
