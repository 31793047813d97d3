// A meeting point that all ranks enter with a pointer to their data and leave together; between two meetings each rank
// works on its own slice of everyone's data.
#include "trainer/comm/thread_comm.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

// What a rank brings to a meeting. `label` must be the same on all ranks.
struct Visit {
  std::string label;
  void* data = nullptr;
  const void* const_data = nullptr;
};

class MeetingPoint {
 public:
  MeetingPoint(int world_size, absl::Duration timeout) : timeout_(timeout), visits_(world_size), gone_(world_size) {}

  // Returns once all ranks are here; `visits` stay as they are until the next meeting is complete.
  absl::Status Meet(int rank, Visit visit) {
    std::unique_lock lock(mutex_);
    if (!failure_.ok()) return failure_;
    const int64_t meeting = meeting_;
    visits_[rank] = std::move(visit);
    if (++arrived_ == static_cast<int>(visits_.size())) {
      arrived_ = 0;
      ++meeting_;
      for (size_t r = 1; r < visits_.size(); ++r) {
        if (visits_[r].label == visits_[0].label) continue;
        failure_ = absl::InternalError(
            absl::StrCat("rank 0 is at ", visits_[0].label, " while rank ", r, " is at ", visits_[r].label));
      }
      changed_.notify_all();
      return failure_;
    }
    const bool in_time = changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout_),
                                           [&] { return meeting_ != meeting || !failure_.ok() || AnyGone(); });
    if (meeting_ != meeting) return failure_;
    if (failure_.ok()) {
      failure_ = in_time ? absl::UnavailableError(absl::StrCat("rank ", FirstGone(), " is gone"))
                         : absl::DeadlineExceededError(
                               absl::StrCat("a peer did not come within ", absl::FormatDuration(timeout_)));
      changed_.notify_all();
    }
    return failure_;
  }

  const Visit& visit(int rank) const { return visits_[rank]; }

  void Leave(int rank) {
    std::lock_guard lock(mutex_);
    gone_[rank] = true;
    changed_.notify_all();
  }

 private:
  bool AnyGone() const { return std::find(gone_.begin(), gone_.end(), true) != gone_.end(); }
  int FirstGone() const { return std::find(gone_.begin(), gone_.end(), true) - gone_.begin(); }

  const absl::Duration timeout_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Visit> visits_;
  std::vector<bool> gone_;
  int arrived_ = 0;
  int64_t meeting_ = 0;
  absl::Status failure_;
};

class ThreadComm : public Comm {
 public:
  ThreadComm(std::shared_ptr<MeetingPoint> point, int rank, int world_size)
      : point_(std::move(point)), rank_(rank), world_size_(world_size) {}
  ~ThreadComm() override { point_->Leave(rank_); }

  int rank() const override { return rank_; }
  int world_size() const override { return world_size_; }

  absl::Status AllReduceSum(absl::Span<int64_t> values, absl::string_view what) override {
    return Reduce(values, what);
  }
  absl::Status AllReduceSum(absl::Span<float> values, absl::string_view what) override { return Reduce(values, what); }

  absl::Status AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view what) override {
    MILLRACE_CHECK(all.size() == mine.size() * world_size_);
    return Run("all-gather", what, mine.size(), nullptr, mine.data(), [&] {
      for (int r = 0; r < world_size_; ++r) {
        if (mine.empty()) continue;
        std::memcpy(all.data() + r * mine.size(), point_->visit(r).const_data, mine.size());
      }
    });
  }

  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root, absl::string_view what) override {
    return Run("broadcast", what, bytes.size(), bytes.data(), nullptr, [&] {
      if (rank_ != root && !bytes.empty()) std::memcpy(bytes.data(), point_->visit(root).data, bytes.size());
    });
  }

  absl::Status Barrier(absl::string_view what) override {
    return Run("barrier", what, 0, nullptr, nullptr, [] {});
  }

 private:
  template <typename T>
  absl::Status Reduce(absl::Span<T> values, absl::string_view what) {
    return Run("all-reduce", what, values.size(), values.data(), nullptr, [&] {
      const size_t first = values.size() * rank_ / world_size_, last = values.size() * (rank_ + 1) / world_size_;
      for (size_t i = first; i < last; ++i) {
        T sum = 0;
        for (int r = 0; r < world_size_; ++r) sum += static_cast<const T*>(point_->visit(r).data)[i];
        for (int r = 0; r < world_size_; ++r) static_cast<T*>(point_->visit(r).data)[i] = sum;
      }
    });
  }

  template <typename Work>
  absl::Status Run(absl::string_view collective, absl::string_view what, size_t size, void* data,
                   const void* const_data, Work work) {
    const std::string label = absl::StrCat(collective, " of ", what, " (", size, " elements)");
    absl::Status status = point_->Meet(rank_, {label, data, const_data});
    if (status.ok()) {
      work();
      status = point_->Meet(rank_, {label, data, const_data});
    }
    return AnnotateCollective(status, *this, collective, what);
  }

  const std::shared_ptr<MeetingPoint> point_;
  const int rank_;
  const int world_size_;
};

}  // namespace

std::vector<std::unique_ptr<Comm>> NewThreadComms(int world_size, absl::Duration timeout) {
  auto point = std::make_shared<MeetingPoint>(world_size, timeout);
  std::vector<std::unique_ptr<Comm>> comms;
  for (int r = 0; r < world_size; ++r) comms.push_back(std::make_unique<ThreadComm>(point, r, world_size));
  return comms;
}

std::vector<absl::Status> RunThreadGang(int world_size, const std::function<absl::Status(Comm&)>& body,
                                        absl::Duration timeout) {
  std::vector<std::unique_ptr<Comm>> comms = NewThreadComms(world_size, timeout);
  std::vector<absl::Status> statuses(world_size);
  std::vector<std::thread> threads;
  for (int r = 0; r < world_size; ++r) {
    threads.emplace_back([&, r] {
      statuses[r] = body(*comms[r]);
      comms[r].reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

}  // namespace millrace::trainer
