// Ranks as threads of one process: the collectives of a gang without its processes, for tests and for tools that run a
// small gang by themselves.
#ifndef MILLRACE_TRAINER_COMM_THREAD_COMM_H_
#define MILLRACE_TRAINER_COMM_THREAD_COMM_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "trainer/comm/comm.h"

namespace millrace::trainer {

// One Comm for each rank; each is used by one thread. A rank that is destroyed is gone: its peers' collectives fail
// with Unavailable. Ranks that disagree on the collective, on `what` or on the size get Internal, naming both.
std::vector<std::unique_ptr<Comm>> NewThreadComms(int world_size, absl::Duration timeout = absl::Seconds(60));

// Runs body(comm) for each rank on a thread of its own. Returns each rank's status, in rank order.
std::vector<absl::Status> RunThreadGang(int world_size, const std::function<absl::Status(Comm&)>& body,
                                        absl::Duration timeout = absl::Seconds(60));

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_COMM_THREAD_COMM_H_
