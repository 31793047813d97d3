#include "executor/cli/past_runs.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/diagnostic.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/engine/home.h"
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

const StageView* StageWithKey(const RunModel& model, const std::string& key) {
  if (key.empty()) return nullptr;
  for (const StageView& stage : model.stages()) {
    if (stage.key == key) return &stage;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> RunIds(const std::string& home) {
  // An id begins with its second. Of runs of one second the folder's time decides.
  constexpr size_t kSecond = sizeof("20261124-101500") - 1;
  std::vector<std::tuple<std::string, int64_t, std::string>> runs;
  for (std::string& id : FolderNames(RunsFolder(home))) {
    struct stat info;
    if (::stat(JoinPath(RunsFolder(home), id).c_str(), &info) != 0) continue;
    runs.emplace_back(id.substr(0, kSecond), info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec, id);
  }
  std::sort(runs.rbegin(), runs.rend());
  std::vector<std::string> ids;
  for (auto& [second, time, id] : runs) ids.push_back(std::move(id));
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

bool GoesOn(const std::string& home, const std::string& id) {
  for (const Lease::Held& lease : Lease::All(Home(home))) {
    if (lease.run_id == id) return true;
  }
  return false;
}

absl::StatusOr<StageOfRun> FindStage(const std::string& home, PastRun run, const std::string& stage, bool earlier) {
  if (run.model.Find(stage) != nullptr) return StageOfRun{std::move(run), stage, ""};
  if (earlier) {
    const std::vector<std::string> ids = RunIds(home);
    auto at = std::find(ids.begin(), ids.end(), run.id);
    if (at != ids.end()) ++at;
    for (; at != ids.end(); ++at) {
      absl::StatusOr<PastRun> before = ReadRun(home, *at);
      if (!before.ok() || before->model.started().pipeline() != run.model.started().pipeline()) continue;
      const StageView* found = before->model.Find(stage);
      if (found == nullptr) continue;
      const StageView* now = StageWithKey(run.model, found->key);
      return StageOfRun{*std::move(before), stage,
                        absl::StrCat("run ", run.id, " has no stage \"", stage, "\"",
                                     now == nullptr ? "" : absl::StrCat(" (it is \"", now->name(), "\" there)"),
                                     "; this is from run ", *at)};
    }
  }
  std::vector<std::string> names;
  for (const StageView& one : run.model.stages()) names.push_back(one.name());
  const std::string closest = Closest(stage, names);
  return absl::NotFoundError(absl::StrCat("run ", run.id, " has no stage \"", stage,
                                          "\"\n  fix: ", closest.empty() ? absl::StrJoin(names, ", ") : closest));
}

absl::StatusOr<StageOfRun> FindOrigin(const std::string& home, StageOfRun found) {
  const StageView& view = *found.run.model.Find(found.stage);
  if (view.state != CACHED || !view.entry || view.entry->run_id() == found.run.id) return found;
  const std::string origin_id = view.entry->run_id();
  absl::StatusOr<PastRun> origin = ReadRun(home, origin_id);
  const StageView* made = origin.ok() ? StageWithKey(origin->model, view.key) : nullptr;
  if (made == nullptr && origin.ok()) made = origin->model.Find(found.stage);
  if (made == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("\"", found.stage, "\" was cached, and the log of run ", origin_id, " that made it is gone"));
  }
  const std::string name = made->name();
  std::string note =
      absl::StrCat(found.note, found.note.empty() ? "" : "; there it was ", "cached: this is from run ", origin_id,
                   name == found.stage ? "" : absl::StrCat(", where it was called \"", name, "\""));
  return StageOfRun{*std::move(origin), name, std::move(note)};
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
