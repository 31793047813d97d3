// The `train` stage: from shards to a checkpoint and a model as Hugging Face keeps it. Run by every rank of a gang.
#ifndef MILLRACE_TRAINER_TRAIN_STAGE_H_
#define MILLRACE_TRAINER_TRAIN_STAGE_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipelines/protocol/stage.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/comm/comm.h"

namespace millrace::trainer {

// Joins the gang that `stage` describes: SingleComm for one rank, else Gloo at the gang's master address, with
// gradients through shared memory where all ranks are on one host. Environment: GLOO_SOCKET_IFNAME, the network
// interface.
//   InvalidArgument: a timeout that is not above 0.   Errors of NewGlooComm.
absl::StatusOr<std::unique_ptr<Comm>> JoinGang(const Stage& stage);

// Trains from step 0, or from the gang's resume_path, to the last step.
//
// Publishes a checkpoint below out/checkpoint at the steps that `checkpoint` asks for, when interrupted, and always
// after the last step; then rank 0 writes out/hugging_face. Reports (rank 0 only): progress in steps; "loss",
// "learning_rate", "grad_norm" of each step, "validation_loss", "time.tokens_per_second",
// "time.share_of_waiting_for_peers"; at the end "loss", "parameters", "tokens". Everything written is a function of the
// parameters, the data and the seed: not of ranks, threads, micro-batch or interruptions.
//
//   InvalidArgument, FailedPrecondition, OutOfRange: parameters or inputs that do not go together.
//   Unimplemented: a precision, ZeRO stage, recomputation or layout that this program does not run.
//   Cancelled: a rank was asked to stop; a checkpoint of the last step done is published.
//   Internal: the loss or a gradient is no longer finite.   Unavailable, DeadlineExceeded: a peer is gone.
//
// `interrupted`: whether this process was asked to stop (Stage::Interrupted, but for tests).
absl::Status RunTrain(Stage& stage, const Train& parameters, Comm& comm, const std::function<bool()>& interrupted);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_TRAIN_STAGE_H_
