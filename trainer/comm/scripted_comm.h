// A Comm that fails where a test says so.
#ifndef MILLRACE_TRAINER_COMM_SCRIPTED_COMM_H_
#define MILLRACE_TRAINER_COMM_SCRIPTED_COMM_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "trainer/comm/comm.h"

namespace millrace::trainer {

// Passes collectives on to `inner` and writes each down ("all-reduce gradients, bucket 0 (128)"), but for those whose
// index, counted from 0 over all collectives, is in `failures`: these return that status and are not passed on.
class ScriptedComm : public Comm {
 public:
  ScriptedComm(Comm* inner, std::map<int, absl::Status> failures) : inner_(inner), failures_(std::move(failures)) {}

  const std::vector<std::string>& calls() const { return calls_; }

  int rank() const override { return inner_->rank(); }
  int world_size() const override { return inner_->world_size(); }
  absl::Status AllReduceSum(absl::Span<int64_t> values, absl::string_view what) override {
    const absl::Status status = Next("all-reduce", what, values.size());
    return status.ok() ? inner_->AllReduceSum(values, what) : status;
  }
  absl::Status AllReduceSum(absl::Span<float> values, absl::string_view what) override {
    const absl::Status status = Next("all-reduce", what, values.size());
    return status.ok() ? inner_->AllReduceSum(values, what) : status;
  }
  absl::Status AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view what) override {
    const absl::Status status = Next("all-gather", what, mine.size());
    return status.ok() ? inner_->AllGather(mine, all, what) : status;
  }
  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root, absl::string_view what) override {
    const absl::Status status = Next("broadcast", what, bytes.size());
    return status.ok() ? inner_->Broadcast(bytes, root, what) : status;
  }
  absl::Status Barrier(absl::string_view what) override {
    const absl::Status status = Next("barrier", what, 0);
    return status.ok() ? inner_->Barrier(what) : status;
  }

 private:
  absl::Status Next(absl::string_view collective, absl::string_view what, size_t size) {
    const auto failure = failures_.find(static_cast<int>(calls_.size()));
    calls_.push_back(absl::StrCat(collective, " ", what, " (", size, ")"));
    return failure == failures_.end() ? absl::OkStatus() : AnnotateCollective(failure->second, *this, collective, what);
  }

  Comm* const inner_;
  const std::map<int, absl::Status> failures_;
  std::vector<std::string> calls_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_COMM_SCRIPTED_COMM_H_
