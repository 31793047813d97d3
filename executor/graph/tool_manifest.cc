#include "executor/graph/tool_manifest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace millrace {
namespace {

using Json = nlohmann::json;

absl::Status Bad(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("tool manifest: ", where, ": ", what));
}

// A path from the runfiles root that stays below it.
absl::Status CheckRelative(absl::string_view where, const std::string& path) {
  if (path.empty()) return Bad(where, "a path is empty");
  if (path.front() == '/') return Bad(where, absl::StrCat("\"", path, "\" is absolute, not below the runfiles root"));
  for (absl::string_view rest = path; !rest.empty();) {
    const size_t slash = rest.find('/');
    if (rest.substr(0, slash) == "..") return Bad(where, absl::StrCat("\"", path, "\" leaves the runfiles root"));
    rest = slash == absl::string_view::npos ? absl::string_view() : rest.substr(slash + 1);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StringIn(absl::string_view where, const Json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end()) return Bad(where, absl::StrCat("has no \"", field, "\""));
  if (!found->is_string()) return Bad(where, absl::StrCat("\"", field, "\" is not a string"));
  return found->get<std::string>();
}

absl::StatusOr<const Json*> ArrayIn(absl::string_view where, const Json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end()) return Bad(where, absl::StrCat("has no \"", field, "\""));
  if (!found->is_array()) return Bad(where, absl::StrCat("\"", field, "\" is not a list"));
  return &*found;
}

absl::Status SortAndCheck(absl::string_view where, std::vector<ToolFile>& files) {
  std::sort(files.begin(), files.end(),
            [](const ToolFile& a, const ToolFile& b) { return a.logical_path < b.logical_path; });
  for (size_t i = 1; i < files.size(); ++i) {
    if (files[i].logical_path == files[i - 1].logical_path)
      return Bad(where, absl::StrCat("\"", files[i].logical_path, "\" is there twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Tool> ParseTool(absl::string_view where, const Json& json, absl::string_view root) {
  if (!json.is_object()) return Bad(where, "is not an object");
  Tool tool;
  ASSIGN_OR_RETURN(tool.executable, StringIn(where, json, "executable"));
  ASSIGN_OR_RETURN(const Json* files, ArrayIn(where, json, "files"));
  bool has_executable = false;
  for (const Json& file : *files) {
    if (!file.is_string()) return Bad(where, "a file is not a string");
    std::string path = file.get<std::string>();
    RETURN_IF_ERROR(CheckRelative(where, path));
    has_executable |= path == tool.executable;
    std::string absolute = JoinPath(root, path);
    tool.files.push_back({std::move(path), std::move(absolute)});
  }
  if (!has_executable)
    return Bad(where, absl::StrCat("\"files\" does not hold the executable \"", tool.executable, "\""));
  RETURN_IF_ERROR(SortAndCheck(where, tool.files));
  return tool;
}

absl::StatusOr<BundledData> ParseData(absl::string_view where, const Json& json, absl::string_view root) {
  if (!json.is_object()) return Bad(where, "is not an object");
  BundledData data;
  ASSIGN_OR_RETURN(data.label, StringIn(where, json, "label"));
  ASSIGN_OR_RETURN(const Json* files, ArrayIn(where, json, "files"));
  for (const Json& file : *files) {
    if (!file.is_object()) return Bad(where, "a file is not an object with \"path\" and \"runfile\"");
    ASSIGN_OR_RETURN(std::string path, StringIn(where, file, "path"));
    ASSIGN_OR_RETURN(const std::string runfile, StringIn(where, file, "runfile"));
    RETURN_IF_ERROR(CheckRelative(where, path));
    RETURN_IF_ERROR(CheckRelative(where, runfile));
    data.files.push_back({std::move(path), JoinPath(root, runfile)});
  }
  if (json.contains("lock")) {
    ASSIGN_OR_RETURN(const std::string lock, StringIn(where, json, "lock"));
    RETURN_IF_ERROR(CheckRelative(where, lock));
    data.lock = JoinPath(root, lock);
  }
  RETURN_IF_ERROR(SortAndCheck(where, data.files));
  return data;
}

}  // namespace

absl::StatusOr<ToolManifest> ToolManifest::Parse(absl::string_view json, absl::string_view runfiles_root) {
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return absl::InvalidArgumentError("tool manifest: is not JSON");
  if (!root.is_object()) return absl::InvalidArgumentError("tool manifest: is not a JSON object");
  ToolManifest manifest;
  for (const auto& [key, section] : root.items()) {
    if (key != "tools" && key != "data") return Bad(key, "is neither \"tools\" nor \"data\"");
    if (!section.is_object()) return Bad(key, "is not an object");
    for (const auto& [name, json_entry] : section.items()) {
      const std::string where = absl::StrCat(key, " \"", name, "\"");
      if (key == "tools") {
        ASSIGN_OR_RETURN(manifest.tools[name], ParseTool(where, json_entry, runfiles_root));
      } else {
        ASSIGN_OR_RETURN(manifest.data[name], ParseData(where, json_entry, runfiles_root));
      }
    }
  }
  return manifest;
}

}  // namespace millrace
