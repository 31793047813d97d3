// Collectives between the ranks of a gang. One narrow interface; GlooComm (gloo_comm.h) is the one that jobs run on,
// SharedMemoryComm makes it quicker within a host, ThreadComm and ScriptedComm are for tests, SingleComm is for one
// rank.
#ifndef MILLRACE_TRAINER_COMM_COMM_H_
#define MILLRACE_TRAINER_COMM_COMM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace millrace::trainer {

// Every rank must issue the same collectives in the same order. One collective at a time: not thread-safe, but any
// thread may call.
//
// `what` names the data for messages ("gradients, bucket 0"). Errors, after which the gang cannot go on:
//   Unavailable: a peer is gone.   DeadlineExceeded: a peer did not come within the timeout.
// Their messages name this rank, the collective and `what`.
class Comm {
 public:
  virtual ~Comm() = default;

  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Replaces `values` by the sum over all ranks. Exact for int64 (modulo 2^64); the float32 form gives all ranks the
  // same bits, which depend on the world size.
  virtual absl::Status AllReduceSum(absl::Span<int64_t> values, absl::string_view what) = 0;
  virtual absl::Status AllReduceSum(absl::Span<float> values, absl::string_view what) = 0;
  // `all` becomes rank 0's `mine`, rank 1's, ...; all.size() == world_size() * mine.size(), the same on all ranks.
  virtual absl::Status AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view what) = 0;
  // Replaces `bytes` by those of rank `root`.
  virtual absl::Status Broadcast(absl::Span<uint8_t> bytes, int root, absl::string_view what) = 0;
  // Returns when all ranks have called it.
  virtual absl::Status Barrier(absl::string_view what) = 0;

  // Memory for values that will be summed often, at a multiple of 64; it lives as long as the comm. Some comms are
  // quicker on it. A collective: all ranks ask for the same sizes. ResourceExhausted: there is no memory.
  virtual absl::StatusOr<void*> Allocate(int64_t size_bytes);

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  std::vector<std::unique_ptr<void, Free>> allocated_;
};

// `status` with "rank 0 of 2: all-reduce of gradients, bucket 0: " before its message.
absl::Status AnnotateCollective(const absl::Status& status, const Comm& comm, absl::string_view collective,
                                absl::string_view what);

// A gang of one: every collective is the identity.
class SingleComm : public Comm {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(absl::Span<int64_t>, absl::string_view) override { return absl::OkStatus(); }
  absl::Status AllReduceSum(absl::Span<float>, absl::string_view) override { return absl::OkStatus(); }
  absl::Status AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view what) override;
  absl::Status Broadcast(absl::Span<uint8_t>, int, absl::string_view) override { return absl::OkStatus(); }
  absl::Status Barrier(absl::string_view) override { return absl::OkStatus(); }
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_COMM_COMM_H_
