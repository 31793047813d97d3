// What is recorded of the machine a run was on: shown, in no key.
#ifndef MILLRACE_EXECUTOR_ENGINE_MACHINE_H_
#define MILLRACE_EXECUTOR_ENGINE_MACHINE_H_

#include "absl/status/status.h"
#include "executor/engine/run_event.pb.h"
#include "pipelines/schema/cluster.pb.h"

namespace millrace {

MachineFacts ReadMachineFacts(Numerics numerics);

// FailedPrecondition: this machine's processor cannot compute in that class, and what to do.
absl::Status CheckNumerics(Numerics numerics);

// Processors that this process may use.
int NumProcessors();

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_MACHINE_H_
