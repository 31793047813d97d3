#include "trainer/model/parallel.h"

#include <omp.h>

#include <algorithm>

namespace millrace::trainer {

void ParallelRange(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  const int64_t wanted = std::min<int64_t>(omp_get_max_threads(), (count + grain - 1) / std::max<int64_t>(grain, 1));
  if (wanted <= 1 || omp_in_parallel()) return body(0, count);
#pragma omp parallel num_threads(static_cast <int>(wanted))
  {
    const int64_t ranges = omp_get_num_threads();
    const int64_t range = omp_get_thread_num();
    const int64_t begin = count * range / ranges;
    const int64_t end = count * (range + 1) / ranges;
    if (begin < end) body(begin, end);
  }
}

}  // namespace millrace::trainer
