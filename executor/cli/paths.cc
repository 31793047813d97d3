#include "executor/cli/paths.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/diagnostic.h"
#include "base/file.h"

namespace millrace {
namespace {

constexpr char kSuffix[] = ".textproto";

std::string Get(const Variables& env, const char* name) {
  const char* value = env(name);
  return value == nullptr ? "" : value;
}

std::string CurrentDirectory() {
  char buffer[PATH_MAX];
  return ::getcwd(buffer, sizeof(buffer)) == nullptr ? "/" : buffer;
}

std::string UserDirectory(const Variables& env) {
  const std::string directory = Get(env, "BUILD_WORKING_DIRECTORY");
  return directory.empty() ? CurrentDirectory() : directory;
}

std::string Absolute(absl::string_view path, const std::string& base) {
  return absl::StartsWith(path, "/") ? std::string(path.data(), path.size()) : JoinPath(base, path);
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

// The nearest folder at or above `folder` that is a workspace, or "".
std::string WorkspaceAbove(std::string folder) {
  while (true) {
    for (const char* mark : {"WORKSPACE", "WORKSPACE.bazel", ".git"}) {
      const std::string path = JoinPath(folder, mark);
      if (FileExists(path) || IsDirectory(path)) return folder;
    }
    if (folder == "/" || folder.empty()) return "";
    folder = ParentOf(folder);
  }
}

std::string PipelineByName(const std::string& name, const Variables& env) {
  if (absl::StrContains(name, "/") || absl::EndsWith(name, kSuffix)) return "";
  std::string workspace = Get(env, "BUILD_WORKSPACE_DIRECTORY");
  if (workspace.empty()) workspace = WorkspaceAbove(UserDirectory(env));
  if (workspace.empty()) return "";
  const std::string path = absl::StrCat(workspace, "/pipelines/", name, kSuffix);
  return FileExists(path) ? path : "";
}

// Names of pipeline files in `folder`, and without their suffix.
std::vector<std::string> PipelinesIn(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (absl::EndsWith(name, kSuffix)) names.push_back(name);
  }
  ::closedir(dir);
  return names;
}

absl::Status NoSuchFile(const std::string& file, const std::string& path, const Variables& env) {
  std::vector<std::string> candidates = VerbNames();
  const std::string folder = ParentOf(path);
  for (const std::string& name : PipelinesIn(folder)) {
    candidates.push_back(absl::StrContains(file, "/") ? absl::StrCat(file.substr(0, file.rfind('/') + 1), name) : name);
  }
  std::string workspace = Get(env, "BUILD_WORKSPACE_DIRECTORY");
  if (workspace.empty()) workspace = WorkspaceAbove(UserDirectory(env));
  for (const std::string& name : PipelinesIn(workspace + "/pipelines")) {
    candidates.emplace_back(absl::StripSuffix(name, kSuffix).data(), name.size() - sizeof(kSuffix) + 1);
  }
  const std::string closest = Closest(file, candidates);
  return absl::NotFoundError(absl::StrCat(
      "there is no pipeline file \"", file, "\"\n  why: looked for ", path, "\n  fix: ",
      closest.empty() ? "name a file, or a pipeline in pipelines/ of the workspace; `--help` lists the verbs"
                      : closest));
}

}  // namespace

std::string Paths::Resolve(absl::string_view path) const { return Absolute(path, working_directory); }

std::string Paths::Shown(absl::string_view absolute_path) const {
  absl::string_view shown = absolute_path;
  if (absl::ConsumePrefix(&shown, working_directory) && absl::ConsumePrefix(&shown, "/") && !shown.empty()) {
    return std::string(shown.data(), shown.size());
  }
  return std::string(absolute_path.data(), absolute_path.size());
}

bool LooksLikeFile(const std::string& word, const Variables& env) {
  return absl::EndsWith(word, kSuffix) || absl::StrContains(word, "/") ||
         FileExists(Absolute(word, UserDirectory(env))) || !PipelineByName(word, env).empty();
}

absl::StatusOr<Paths> FindPaths(const Arguments& arguments, const std::string& file, const std::string& program,
                                const Variables& env) {
  Paths paths;
  paths.working_directory = UserDirectory(env);
  if (!file.empty()) {
    paths.file = Absolute(file, paths.working_directory);
    if (!FileExists(paths.file)) {
      const std::string by_name = PipelineByName(file, env);
      if (by_name.empty()) return NoSuchFile(file, paths.file, env);
      paths.file = by_name;
    }
  }
  paths.workspace = Get(env, "BUILD_WORKSPACE_DIRECTORY");
  if (paths.workspace.empty() && !file.empty()) paths.workspace = WorkspaceAbove(ParentOf(paths.file));
  if (paths.workspace.empty()) paths.workspace = WorkspaceAbove(paths.working_directory);
  if (paths.workspace.empty()) paths.workspace = paths.working_directory;

  absl::string_view shown = paths.file;
  if (absl::ConsumePrefix(&shown, paths.workspace) && absl::ConsumePrefix(&shown, "/")) {
    paths.file_shown.assign(shown.data(), shown.size());
  } else {
    paths.file_shown = file;
  }

  if (!arguments.home.empty()) {
    paths.home = Absolute(arguments.home, paths.working_directory);
  } else if (const std::string cache = Get(env, "XDG_CACHE_HOME"); absl::StartsWith(cache, "/")) {
    paths.home = JoinPath(cache, "millrace");
  } else if (const std::string home = Get(env, "HOME"); !home.empty()) {
    paths.home = JoinPath(home, ".cache/millrace");
  } else if (arguments.verb != "check") {  // which looks at the file alone
    return absl::FailedPreconditionError(
        "no place for the cache is known\n  why: neither XDG_CACHE_HOME nor HOME is set\n  fix: --home=DIR");
  }
  paths.out = arguments.out.empty() ? JoinPath(paths.workspace, "millrace-out")
                                    : Absolute(arguments.out, paths.working_directory);

  paths.manifest = arguments.manifest.empty() ? Get(env, "MILLRACE_MANIFEST") : arguments.manifest;
  if (paths.manifest.empty()) {
    std::vector<std::string> programs = {Absolute(program, CurrentDirectory())};
    char buffer[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", buffer, sizeof(buffer));
    if (length > 0 && length < sizeof(buffer)) programs.emplace_back(buffer, length);
    for (const std::string& candidate : programs) {
      const std::string root = candidate + ".runfiles";
      const std::string manifest = JoinPath(root, "millrace/millrace_manifest.json");
      if (!FileExists(manifest)) continue;
      paths.manifest = manifest;
      paths.runfiles = root;
      break;
    }
  } else {
    paths.manifest = Absolute(paths.manifest, CurrentDirectory());
    if (!FileExists(paths.manifest)) {
      return absl::NotFoundError(absl::StrCat("there is no manifest \"", paths.manifest, "\"\n  fix: --manifest=FILE"));
    }
  }
  if (!arguments.runfiles.empty()) {
    paths.runfiles = Absolute(arguments.runfiles, CurrentDirectory());
  } else if (paths.runfiles.empty() && !paths.manifest.empty()) {
    // The folder that ends in ".runfiles", else that of the manifest's repository.
    std::string folder = ParentOf(paths.manifest);
    while (folder != "/" && !absl::EndsWith(folder, ".runfiles")) folder = ParentOf(folder);
    paths.runfiles = folder == "/" ? ParentOf(ParentOf(paths.manifest)) : folder;
  }
  return paths;
}

}  // namespace millrace
