// Ranks as processes on one or more hosts, over TCP: c10d's ProcessGroupGloo, met through a TCPStore that rank 0 keeps.
#ifndef MILLRACE_TRAINER_COMM_GLOO_COMM_H_
#define MILLRACE_TRAINER_COMM_GLOO_COMM_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "trainer/comm/comm.h"

namespace millrace::trainer {

struct GlooOptions {
  int rank = 0;
  int world_size = 1;
  // Where rank 0 listens.
  std::string master_address = "127.0.0.1";
  int master_port = 29500;
  // Of one collective, and of the gang's coming together.
  absl::Duration timeout = absl::Minutes(10);
  // The network interface to use ("eth0"); empty: the one that leads to master_address.
  std::string interface;
};

// Joins the gang. Returns when all ranks have.
//   DeadlineExceeded: not all ranks came in time, or nothing listens at the master's address.
//   Unavailable: the address cannot be resolved or bound.
absl::StatusOr<std::unique_ptr<Comm>> NewGlooComm(const GlooOptions& options);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_COMM_GLOO_COMM_H_
