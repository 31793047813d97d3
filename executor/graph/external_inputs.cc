#include "executor/graph/external_inputs.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "executor/graph/glob.h"

namespace millrace {
namespace {

std::string Prefix(const StageDraft& draft) { return absl::StrCat("stage \"", draft.name, "\": "); }

std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

}  // namespace

ExternalInputFinder::ExternalInputFinder(const LoadOptions& options, const Sources& sources, Diagnostics& diagnostics)
    : options_(options), sources_(sources), diagnostics_(diagnostics) {
  if (options.cluster.has_value()) {
    for (const DataRoot& root : options.cluster->storage().data_root()) roots_[root.name()] = root.path();
  }
  for (const auto& [name, folder] : options.data_root) roots_[name] = folder;
}

std::string ExternalInputFinder::InWorkspace(absl::string_view path) const {
  return Absolute(JoinPath(options_.workspace.empty() ? "." : options_.workspace, path));
}

std::string ExternalInputFinder::FolderOf(const std::string& root, std::string& unresolved) const {
  if (root.empty()) return Absolute(options_.workspace.empty() ? "." : options_.workspace);
  if (const auto found = roots_.find(root); found != roots_.end()) {
    const std::string folder = Absolute(found->second);
    if (options_.data_root.count(root) > 0 || IsDirectory(folder)) return folder;
    unresolved = absl::StrCat("root \"", root, "\" is ", folder, " in cluster \"", options_.cluster->name(),
                              "\", and that is no folder of this machine (--data-root=", root, "=DIR)");
    return "";
  }
  unresolved = absl::StrCat("root \"", root, "\" is not named (--data-root=", root,
                            "=DIR, or storage.data_root of the cluster file)");
  return "";
}

void ExternalInputFinder::AddMatches(const StageDraft& draft, const Value& glob, std::vector<std::string> excludes,
                                     ExternalInput& input) {
  const Location location = sources_.At(glob.place);
  const RootedPath rooted = SplitRoot(glob.text);
  const std::string folder = FolderOf(rooted.root, input.unresolved);
  if (folder.empty()) return;
  if (!rooted.root.empty() && !IsDirectory(folder)) {
    diagnostics_.AddError(location, absl::StrCat(Prefix(draft), "root \"", rooted.root, "\" is no folder"),
                          absl::StrCat("it is named as ", folder), absl::StrCat("--data-root=", rooted.root, "=DIR"));
    return;
  }
  const auto found = ExpandGlob(folder, rooted.path);
  if (!found.ok()) {
    diagnostics_.AddError(location, absl::StrCat(Prefix(draft), std::string(found.status().message())),
                          "files are named below a root or the workspace, so that a file works on every machine",
                          "glob: \"ROOT://...\", with --data-root=ROOT=DIR");
    return;
  }
  int64_t matched = 0;
  for (const std::string& path : *found) {
    if (std::any_of(excludes.begin(), excludes.end(),
                    [&](const std::string& exclude) { return MatchesGlob(SplitRoot(exclude).path, path); })) {
      continue;
    }
    ++matched;
    input.files.push_back({path, JoinPath(folder, path)});
  }
  if (matched == 0) {
    diagnostics_.AddError(location, absl::StrCat(Prefix(draft), "no file matches \"", glob.text, "\""),
                          found->empty() ? absl::StrCat("looked below ", folder)
                                         : absl::StrCat(found->size(), " match, and `exclude` takes them all away"),
                          "");
  }
}

ExternalInput ExternalInputFinder::FromFiles(const StageDraft& draft, const Value& value) {
  ExternalInput input;
  input.name = input.number_path = "files";
  input.location = sources_.At(value.place);
  input.artifact = FILES;
  std::vector<std::string> excludes, described;
  for (const Value* exclude : value.message->All("exclude")) excludes.push_back(exclude->text);
  const std::vector<const Value*> globs = value.message->All("glob");
  for (const Value* glob : globs) {
    described.push_back(glob->text);
    AddMatches(draft, *glob, excludes, input);
  }
  for (const std::string& exclude : excludes) described.push_back(absl::StrCat("without ", exclude));
  input.described = absl::StrJoin(described, " ");
  if (globs.empty() && !value.message->damaged) {
    diagnostics_.AddError(input.location, absl::StrCat(Prefix(draft), value.field->name, " names no files"), "",
                          "glob: \"corpora://wiki/*.jsonl.zst\"");
  }
  if (!input.unresolved.empty()) input.files.clear();
  std::sort(input.files.begin(), input.files.end(),
            [](const ExternalFile& a, const ExternalFile& b) { return a.relative_path < b.relative_path; });
  for (size_t i = 1; i < input.files.size(); ++i) {
    if (input.files[i].relative_path != input.files[i - 1].relative_path) continue;
    if (input.files[i].absolute_path != input.files[i - 1].absolute_path) {
      diagnostics_.AddError(input.location,
                            absl::StrCat(Prefix(draft), "two files are \"", input.files[i].relative_path, "\""),
                            absl::StrCat(input.files[i - 1].absolute_path, " and ", input.files[i].absolute_path,
                                         " have one path below their roots"),
                            "a corpus stage for each root");
    }
  }
  input.files.erase(
      std::unique(input.files.begin(), input.files.end(),
                  [](const ExternalFile& a, const ExternalFile& b) { return a.relative_path == b.relative_path; }),
      input.files.end());
  if (const absl::string_view lock = value.message->Text("lock"); !lock.empty()) input.lock = InWorkspace(lock);
  return input;
}

ExternalInput ExternalInputFinder::FromBundled(const StageDraft& draft, const Value& value) {
  ExternalInput input;
  input.name = input.number_path = "files";
  input.location = sources_.At(value.place);
  input.described = absl::StrCat("bundled ", value.text);
  if (options_.manifest == nullptr) {
    input.unresolved = absl::StrCat("bundled \"", value.text, "\" comes with a pipeline target (bazel run)");
    return input;
  }
  const auto found = options_.manifest->data.find(value.text);
  if (found == options_.manifest->data.end()) {
    std::vector<std::string> names;
    for (const auto& [name, data] : options_.manifest->data) names.push_back(name);
    const std::string closest = Closest(value.text, names);
    diagnostics_.AddError(
        input.location, absl::StrCat(Prefix(draft), "the pipeline target brings no data \"", value.text, "\""),
        names.empty() ? "its `data` is empty" : absl::StrCat("its `data` has ", absl::StrJoin(names, ", ")),
        closest.empty() ? "add it to the `data` of the pipeline rule" : absl::StrCat("bundled: \"", closest, "\""));
    return input;
  }
  for (const ToolFile& file : found->second.files) input.files.push_back({file.logical_path, file.absolute_path});
  input.lock = found->second.lock;
  return input;
}

ExternalInput ExternalInputFinder::FromPath(const StageDraft& draft, const std::string& name, int index,
                                            const Value& value) {
  ExternalInput input;
  input.name = name;
  input.number_path = absl::StrCat("3.", index, ".", value.field->number);
  input.location = sources_.At(value.place);
  input.described = value.text;
  const RootedPath rooted = SplitRoot(value.text);
  const std::string folder = FolderOf(rooted.root, input.unresolved);
  if (folder.empty()) return input;
  const std::string path = Absolute(JoinPath(folder, rooted.path));
  if (absl::StartsWith(rooted.path, "/") || !absl::StartsWith(path, absl::StrCat(folder, "/"))) {
    diagnostics_.AddError(input.location, absl::StrCat(Prefix(draft), "\"", value.text, "\" leaves its root"),
                          "files are named below a root or the workspace, so that a file works on every machine",
                          "file: \"ROOT://...\", with --data-root=ROOT=DIR");
    return input;
  }
  if (IsDirectory(path)) {
    const auto files = ListFiles(path);
    if (files.ok()) {
      for (const std::string& file : *files) input.files.push_back({file, JoinPath(path, file)});
      return input;
    }
  }
  if (!FileExists(path)) {
    diagnostics_.AddError(input.location, absl::StrCat(Prefix(draft), "there is no file \"", value.text, "\""),
                          absl::StrCat("looked for ", path), "");
    return input;
  }
  input.files.push_back({std::string(BaseName(path)), path});
  return input;
}

std::vector<ExternalInput> ExternalInputFinder::Find(const StageDraft& draft) {
  std::vector<ExternalInput> inputs;
  const std::string& type = draft.body->type->name;
  if (type == "Corpus" || type == "Tokenizer") {
    for (const Value& value : draft.body->values) {
      if (!value.field->is_input) continue;
      inputs.push_back(value.message != nullptr ? FromFiles(draft, value) : FromBundled(draft, value));
      if (type == "Tokenizer") inputs.back().artifact = TOKENIZER;
    }
  } else if (type == "Custom") {
    int index = 0;
    for (const Value& value : draft.body->values) {
      if (value.field->name != "input") continue;
      if (const Value* file = value.message->Find("file"); file != nullptr)
        inputs.push_back(FromPath(draft, std::string(value.message->Text("name")), index, *file));
      ++index;
    }
  }
  return inputs;
}

}  // namespace millrace
