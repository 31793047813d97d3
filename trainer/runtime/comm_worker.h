// Collectives on a thread of their own, in the order in which they are issued, while the caller computes.
#ifndef MILLRACE_TRAINER_RUNTIME_COMM_WORKER_H_
#define MILLRACE_TRAINER_RUNTIME_COMM_WORKER_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"

namespace millrace::trainer {

// Start and Wait are called by one thread. After the first failure what was issued is not run.
class CommWorker {
 public:
  CommWorker() : thread_([this] { Run(); }) {}
  ~CommWorker() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  CommWorker(const CommWorker&) = delete;
  CommWorker& operator=(const CommWorker&) = delete;

  void Start(std::function<absl::Status()> collective) {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(collective));
    }
    changed_.notify_all();
  }

  // Returns when all that was issued has ended: OK, or the first failure.
  absl::Status Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.empty(); });
    return status_;
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ended_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const bool run = status_.ok();
      lock.unlock();
      const absl::Status status = run ? queue_.front()() : absl::OkStatus();
      lock.lock();
      if (status_.ok()) status_ = status;
      queue_.pop_front();
      if (queue_.empty()) changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<absl::Status()>> queue_;
  absl::Status status_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_RUNTIME_COMM_WORKER_H_
