// What every Comm must do, for the tests of each.
#ifndef MILLRACE_TRAINER_COMM_CONFORMANCE_H_
#define MILLRACE_TRAINER_COMM_CONFORMANCE_H_

#include "absl/status/status.h"
#include "trainer/comm/comm.h"

namespace millrace::trainer {

// Run on every rank of a gang. OK, or what was wrong.
absl::Status CommConformance(Comm& comm);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_COMM_CONFORMANCE_H_
