// What a schedule holds in memory, instruction by instruction, without running it.
#ifndef MILLRACE_TRAINER_SCHEDULE_SIMULATE_H_
#define MILLRACE_TRAINER_SCHEDULE_SIMULATE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "trainer/schedule/schedule.h"

namespace millrace::trainer {

struct MemoryProfile {
  std::vector<int64_t> live_bytes;  // while instruction i runs, for each i
  int64_t peak_bytes = 0;
  int peak_instruction = 0;                     // the first one that needs it
  std::map<BufferKind, int64_t> at_peak_bytes;  // by kind; sums to peak_bytes
};

// A buffer lives from the instruction that first writes it until its release; persistent ones always, where the rank
// uses them at all. The schedule must pass CheckSchedule. Allocator rounding and kernels' scratch are not in it.
MemoryProfile SimulateMemory(const Schedule& schedule, int rank);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SCHEDULE_SIMULATE_H_
