// What `millrace gc` removes of a home:
//
// - bytes of results, the least recently used and the cheapest to make again first, until at most `max_bytes` are kept,
//   and what nothing names (executor/cas/gc.h); folders that lay collected results out as files;
// - logs of runs that are older than `max_age`, but not the last of a pipeline;
// - programs that no run has used for `max_age` (a program that is needed again is copied again).
//
// What is pinned stays (Pin). What a run that goes on relies on stays: the entries its Lease names, whatever was made
// and each program that was used since it began, its log.
#ifndef MILLRACE_EXECUTOR_ENGINE_HOME_GC_H_
#define MILLRACE_EXECUTOR_ENGINE_HOME_GC_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "executor/cas/action_cache.h"
#include "executor/cas/cas.h"
#include "executor/cas/gc.h"
#include "executor/engine/home.h"
#include "executor/engine/tool_store.h"

namespace millrace {

struct HomeGcOptions {
  int64_t max_bytes = 0;  // of results
  absl::Duration max_age = absl::InfiniteDuration();
  bool dry_run = false;
};

struct HomeGcReport {
  GcReport results;
  int runs_removed = 0;
  int tools_removed = 0;
};

// Unavailable: the storage is in use for long.
absl::StatusOr<HomeGcReport> CollectHomeGarbage(const Home& home, Cas& cas, ActionCache& cache, ToolStore& tools,
                                                const HomeGcOptions& options);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_HOME_GC_H_
