// Proves a schedule before it runs: what is wrong with it would show as a hang, or as gradients that are silently
// wrong.
#ifndef MILLRACE_TRAINER_SCHEDULE_CHECK_H_
#define MILLRACE_TRAINER_SCHEDULE_CHECK_H_

#include "absl/status/status.h"
#include "trainer/schedule/schedule.h"

namespace millrace::trainer {

// OK, or Internal naming rank, instruction and rule. The rules:
//   1. A buffer is read only after it was written and before it is released; it is released once, and all but
//      persistent ones are released by the end. All but gradient sums, weights and states are written once.
//   2. Each leaf's gradient of each (block, unit), and each leaf's loss, is accumulated once over all ranks.
//   3. Each bucket is reduced once on each rank, after all contributions of that rank; the norm is taken once, after
//      all buckets; each unit is stepped once, after the norm; nothing reads weights after they were stepped.
//   4. All ranks issue collectives in one order, sends meet their receives, and no rank waits for ever.
absl::Status CheckSchedule(const Schedule& schedule);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SCHEDULE_CHECK_H_
