// Time of an all-reduce between two processes of this machine, by size. With an argument: through shared memory.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/time/clock.h"
#include "trainer/comm/gloo_comm.h"
#include "trainer/comm/shared_memory_comm.h"

namespace millrace::trainer {
namespace {

// Of this process, all threads.
double CpuSeconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + 1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int Run(int rank, int port, bool shared_memory) {
  auto comm = NewGlooComm({.rank = rank, .world_size = 2, .master_port = port, .timeout = absl::Seconds(60)});
  if (!comm.ok()) {
    std::fprintf(stderr, "%s\n", std::string(comm.status().message()).c_str());
    return 1;
  }
  if (shared_memory) comm = NewSharedMemoryComm(*std::move(comm));
  for (const size_t count : {size_t{1}, size_t{1} << 17, size_t{930000}, size_t{1} << 22}) {
    auto memory = (*comm)->Allocate(static_cast<int64_t>(count) * 8);
    if (!memory.ok()) return 1;
    const absl::Span<int64_t> values = absl::MakeSpan(static_cast<int64_t*>(*memory), count);
    std::fill(values.begin(), values.end(), 1);
    std::vector<double> seconds;
    const double cpu_before = CpuSeconds();
    for (int i = 0; i < 20; ++i) {
      if (!(*comm)->Barrier("start").ok()) return 1;
      const absl::Time start = absl::Now();
      if (!(*comm)->AllReduceSum(values, "values").ok()) return 1;
      seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
    }
    std::sort(seconds.begin(), seconds.end());
    if (rank == 0)
      std::printf("all-reduce of %8zu int64 on 2 ranks: median %8.3f ms, best %8.3f ms, processor %8.3f ms each\n",
                  count, 1e3 * seconds[10], 1e3 * seconds[0], 1e3 * (CpuSeconds() - cpu_before) / 20);
  }
  return 0;
}

}  // namespace
}  // namespace millrace::trainer

int main(int argc, char**) {
  const bool shared_memory = argc > 1;
  const int port = 20000 + ::getpid() % 20000;
  const pid_t child = ::fork();
  const int result = millrace::trainer::Run(child == 0 ? 1 : 0, port, shared_memory);
  if (child == 0) return result;
  int status = 0;
  ::waitpid(child, &status, 0);
  return result != 0 ? result : WEXITSTATUS(status);
}
