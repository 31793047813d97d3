#include "executor/cli/past_runs.h"

#include <dirent.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/engine/run_log.h"

namespace millrace {
namespace {

std::string RunsFolder(const std::string& home) { return JoinPath(home, "runs"); }

// The first event of a run's log says what it is of.
std::string FileOfRun(const std::string& home, const std::string& id) {
  absl::StatusOr<std::unique_ptr<RunLogReader>> reader = RunLogReader::Open(JoinPath(RunsFolder(home), id));
  std::string file;
  if (!reader.ok()) return file;
  (*reader)
      ->Read([&](const RunEvent& event) {
        if (event.has_run_started()) file = event.run_started().file();
      })
      .IgnoreError();
  return file;
}

}  // namespace

std::vector<std::string> RunIds(const std::string& home) {
  std::vector<std::string> ids;
  DIR* dir = ::opendir(RunsFolder(home).c_str());
  if (dir == nullptr) return ids;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') ids.emplace_back(entry->d_name);
  }
  ::closedir(dir);
  std::sort(ids.rbegin(), ids.rend());  // an id begins with its time
  return ids;
}

absl::StatusOr<PastRun> ReadRun(const std::string& home, const std::string& id) {
  PastRun run;
  run.id = id;
  run.folder = JoinPath(RunsFolder(home), id);
  ASSIGN_OR_RETURN(const std::unique_ptr<RunLogReader> reader, RunLogReader::Open(run.folder));
  RETURN_IF_ERROR(reader->Read([&](const RunEvent& event) { run.model.Apply(event); }));
  return run;
}

absl::StatusOr<PastRun> FindRun(const std::string& home, const std::string& run, const std::string& file_shown) {
  const std::vector<std::string> ids = RunIds(home);
  if (!run.empty()) {
    std::vector<std::string> matching;
    for (const std::string& id : ids) {
      if (id == run) return ReadRun(home, id);
      if (absl::StartsWith(id, run)) matching.push_back(id);
    }
    if (matching.size() == 1) return ReadRun(home, matching[0]);
    if (!matching.empty()) {
      if (matching.size() > 5) matching.resize(5);
      return absl::NotFoundError(absl::StrCat("several runs begin with \"", run, "\": ", absl::StrJoin(matching, ", "),
                                              "\n  fix: more of the id"));
    }
    return absl::NotFoundError(
        absl::StrCat("there is no run \"", run, "\" in ", RunsFolder(home),
                     "\n  fix: ", ids.empty() ? "--home=DIR" : absl::StrCat("--run=", ids[0], " is the last one")));
  }
  for (const std::string& id : ids) {
    if (file_shown.empty() || FileOfRun(home, id) == file_shown) return ReadRun(home, id);
  }
  return absl::NotFoundError(absl::StrCat("there is no run", file_shown.empty() ? "" : absl::StrCat(" of ", file_shown),
                                          " in ", RunsFolder(home), "\n  fix: run it, or name the --home of the run"));
}

void AdoptTimesOfOrigins(const std::string& home, RunModel& model) {
  std::map<std::string, absl::StatusOr<PastRun>> origins;
  std::vector<std::pair<std::string, std::string>> wanted;
  for (const StageView& stage : model.stages()) {
    if (stage.state == CACHED && stage.info.kind() == "train" && stage.entry && !stage.entry->run_id().empty()) {
      wanted.emplace_back(stage.name(), stage.entry->run_id());
    }
  }
  for (const auto& [stage, run_id] : wanted) {
    auto origin = origins.find(run_id);
    if (origin == origins.end()) origin = origins.emplace(run_id, ReadRun(home, run_id)).first;
    if (origin->second.ok()) model.AdoptTimes(stage, origin->second->model);
  }
}

}  // namespace millrace
