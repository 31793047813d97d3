// Stages as processes of this machine, under one supervisor process (supervisor.h) that is started with the first gang.
#ifndef MILLRACE_EXECUTOR_BACKENDS_LOCAL_H_
#define MILLRACE_EXECUTOR_BACKENDS_LOCAL_H_

#include <memory>
#include <mutex>
#include <vector>

#include "executor/backends/backend.h"
#include "executor/backends/supervisor.h"

namespace millrace {

// Events are read from "events.<rank>" in the working folder, where MILLRACE_EVENTS points.
class LocalBackend : public Backend {
 public:
  LocalBackend() = default;
  // Ends the supervisor and everything under it.
  ~LocalBackend() override;

  absl::StatusOr<std::unique_ptr<Gang>> Submit(const GangSpec& spec) override;
  // Starts the supervisor, if it is not there yet: before threads and big allocations is best.
  absl::Status Start();

 private:
  friend class LocalGang;
  absl::StatusOr<int> Connect();
  void GiveBack(int fd);

  std::mutex mutex_;
  SupervisorProcess supervisor_;
  std::vector<int> idle_connections_;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_LOCAL_H_
