#include "executor/cli/results.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "executor/cli/past_runs.h"
#include "executor/observe/html_report.h"

namespace millrace {
namespace {

constexpr char kState[] = ".exposed";  // which results the links were made for

absl::flat_hash_set<std::string> NamesIn(const std::string& folder) {
  absl::flat_hash_set<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir)) names.insert(entry->d_name);
  ::closedir(dir);
  return names;
}

// Removes a link, or a folder with nothing but links in it; leaves what a user has put there.
absl::Status RemoveLinks(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (S_ISLNK(info.st_mode)) return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoError(errno, "remove", path);
  if (!S_ISDIR(info.st_mode)) return absl::OkStatus();
  for (const std::string& name : NamesIn(path)) {
    if (name != "." && name != "..") RETURN_IF_ERROR(RemoveLinks(JoinPath(path, name)));
  }
  ::rmdir(path.c_str());
  return absl::OkStatus();
}

// A result whose bytes were collected (it is known, and nothing needs it) has no link.
absl::Status ExposeIfThere(Engine& engine, const OutputTree& output, const std::string& path) {
  const absl::Status status = engine.Expose(output, path);
  return absl::IsNotFound(status) ? RemoveLinks(path) : status;
}

}  // namespace

absl::Status ExposeResults(Engine& engine, const ResolvedPipeline& pipeline,
                           const std::map<std::string, ActionEntry>& entries, bool complete, const std::string& folder,
                           bool& changed) {
  std::string state;
  for (const auto& [stage, entry] : entries) {
    absl::StrAppend(&state, stage, "\n");
    for (const OutputTree& output : entry.output())
      absl::StrAppend(&state, " ", output.name(), " ", output.digest(), "\n");
  }
  state = Sha256Hex(state);
  changed = false;
  const absl::flat_hash_set<std::string> there = NamesIn(folder);
  if (const absl::StatusOr<std::string> last = ReadFile(JoinPath(folder, kState)); last.ok() && *last == state) {
    bool whole = true;
    for (const auto& [stage, entry] : entries) whole = whole && (there.count(stage) > 0 || entry.output_size() == 0);
    if (whole) return absl::OkStatus();
  }
  changed = true;
  RETURN_IF_ERROR(CreateDirectories(folder));
  for (const auto& [stage, entry] : entries) {
    const std::string path = JoinPath(folder, stage);
    struct stat info;
    const bool is_folder = ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    if (entry.output_size() == 1) {
      if (is_folder) RETURN_IF_ERROR(RemoveLinks(path));
      RETURN_IF_ERROR(ExposeIfThere(engine, entry.output(0), path));
    } else if (entry.output_size() > 1) {
      if (!is_folder) RETURN_IF_ERROR(RemoveLinks(path));
      RETURN_IF_ERROR(CreateDirectories(path));
      for (const OutputTree& output : entry.output()) {
        RETURN_IF_ERROR(ExposeIfThere(engine, output, JoinPath(path, output.name())));
      }
    }
  }
  if (complete) {
    for (const std::string& name : there) {
      if (name[0] != '.' && name != "report.html" && pipeline.FindStage(name) < 0) {
        RETURN_IF_ERROR(RemoveLinks(JoinPath(folder, name)));
      }
    }
  }
  return WriteFileAtomic(JoinPath(folder, kState), state);
}

absl::Status WriteReport(RunModel& model, const std::vector<std::pair<std::string, std::string>>& facts,
                         const std::string& home, const std::string& path) {
  AdoptTimesOfOrigins(home, model);
  ReportOptions options;
  options.facts = facts;
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) RETURN_IF_ERROR(CreateDirectories(path.substr(0, slash)));
  return WriteFileAtomic(path, HtmlReport(model, options));
}

}  // namespace millrace
