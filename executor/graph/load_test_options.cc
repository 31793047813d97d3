#include "executor/graph/load_test_options.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/file.h"

namespace millrace {
namespace {

const ToolManifest& GoldenManifest() {
  static const ToolManifest& manifest = *[] {
    auto parsed = ToolManifest::Parse(R"({
      "tools": {"//my:tool": {"executable": "m/my/tool", "files": ["m/my/tool"]}},
      "data": {"tiny_en": {"label": "//c:tiny_en", "files": [{"path": "docs.jsonl", "runfile": "m/docs.jsonl"}]},
               "tiny_zh": {"label": "//c:tiny_zh", "files": [{"path": "docs.jsonl", "runfile": "m/docs.jsonl"}]}}
    })",
                                      "/runfiles");
    MILLRACE_CHECK(parsed.ok());
    return new ToolManifest(*std::move(parsed));
  }();
  return manifest;
}

}  // namespace

GoldenOptions ReadGoldenOptions(absl::string_view text, const std::string& name, const std::string& folder) {
  GoldenOptions options;
  options.load.file = name;
  options.load.workspace = folder;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, "# ")) break;
    const std::pair<std::string, std::string> parts = absl::StrSplit(line.substr(2), absl::MaxSplits(": ", 1));
    const auto& [key, value] = parts;
    if (key == "profile") options.load.profile = value;
    if (key == "set") options.load.set.push_back(value);
    if (key == "only") options.load.only.push_back(value);
    if (key == "manifest") options.load.manifest = &GoldenManifest();
    if (key == "runnable") options.runnable = true;
    if (key == "data_root") {
      const std::pair<std::string, std::string> root = absl::StrSplit(value, absl::MaxSplits('=', 1));
      options.load.data_root[root.first] = JoinPath(folder, root.second);
    }
    if (key == "cluster") {
      const auto cluster_text = ReadFile(JoinPath(folder, absl::StrCat(value, ".cluster.textproto")));
      MILLRACE_CHECK(cluster_text.ok());
      Diagnostics diagnostics;
      auto cluster = LoadCluster(*cluster_text, value, "", diagnostics);
      MILLRACE_CHECK(cluster.ok());
      options.load.cluster = *std::move(cluster);
    }
  }
  return options;
}

bool UpdateGoldens(std::string& folder) {
  const char* update = std::getenv("UPDATE_GOLDENS");
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (update == nullptr || workspace == nullptr) return false;
  folder = JoinPath(workspace, "executor/graph/testdata");
  return true;
}

}  // namespace millrace
