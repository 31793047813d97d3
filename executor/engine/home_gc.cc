#include "executor/engine/home_gc.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/engine/run_log.h"

namespace millrace {
namespace {

// From the logs of all runs: an entry is used when a run says that it has it.
void AddLastUses(const Home& home, GcOptions& gc) {
  for (const std::string& run : FolderNames(home.Runs())) {
    const auto log = RunLogReader::Open(home.Run(run));
    if (!log.ok()) continue;
    const auto note = [&](const RunEvent& event) {
      if (!event.has_stage_changed() || !event.stage_changed().has_entry()) return;
      const absl::StatusOr<Digest> key = Digest::ParseHex(event.stage_changed().key());
      if (!key.ok()) return;
      int64_t& last = gc.last_used_unix_micros[*key];
      last = std::max<int64_t>(last, event.time_unix_micros());
    };
    (*log)->Read(note).IgnoreError();
  }
}

// What is laid out as files holds on to its bytes by links.
void RemoveExposed(const Home& home, const GcReport& report) {
  for (const std::string& name : FolderNames(home.Exposed())) {
    const absl::StatusOr<Digest> digest = Digest::ParseHex(name);
    if (digest.ok() && report.kept_trees.contains(*digest)) continue;
    RemoveTree(JoinPath(home.Exposed(), name)).IgnoreError();
  }
}

// A run's age is that of the last word in its log.
int RemoveOldRuns(const Home& home, const std::set<std::string>& kept, absl::Time before, bool dry_run) {
  int removed = 0;
  for (const std::string& run : FolderNames(home.Runs())) {
    const std::string folder = home.Run(run);
    struct stat s;
    if (kept.contains(run) || (::stat((folder + "/events.log").c_str(), &s) != 0 && ::stat(folder.c_str(), &s) != 0) ||
        absl::TimeFromTimespec(s.st_mtim) >= before)
      continue;
    ++removed;
    if (!dry_run) RemoveTree(folder).IgnoreError();
  }
  return removed;
}

}  // namespace

absl::StatusOr<HomeGcReport> CollectHomeGarbage(const Home& home, Cas& cas, ActionCache& cache, ToolStore& tools,
                                                const HomeGcOptions& options) {
  GcOptions gc;
  gc.max_bytes = options.max_bytes;
  gc.dry_run = options.dry_run;
  gc.now_unix_micros = absl::ToUnixMicros(absl::Now());
  for (const Pin& pin : Pin::All(home)) gc.pinned.insert(pin.keys.begin(), pin.keys.end());
  AddLastUses(home, gc);
  // A run takes its lease before it decides on what is there, which waits for this lock.
  RETURN_IF_ERROR(cas.LockExclusively());
  const auto unlock = absl::MakeCleanup([&] { cas.UnlockExclusively(); });
  std::set<std::string> kept_runs = home.LatestRuns();
  const absl::Time old = absl::Now() - options.max_age;
  absl::Time unused = old;
  for (const Lease::Held& lease : Lease::All(home)) {
    gc.pinned.insert(lease.keys.begin(), lease.keys.end());
    gc.pinned_since_unix_micros = std::min(gc.pinned_since_unix_micros, lease.since_unix_micros);
    unused = std::min(unused, absl::FromUnixMicros(lease.since_unix_micros));
    kept_runs.insert(lease.run_id);
  }
  HomeGcReport report;
  ASSIGN_OR_RETURN(report.results, CollectGarbage(cas, cache, gc));
  if (!options.dry_run) RemoveExposed(home, report.results);
  ASSIGN_OR_RETURN(report.tools_removed, tools.RemoveUnused(unused, options.dry_run));
  report.runs_removed = RemoveOldRuns(home, kept_runs, old, options.dry_run);
  return report;
}

}  // namespace millrace
