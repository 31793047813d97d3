// `check`: every profile, on every cluster that is named.
#include <set>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "executor/cli/command.h"
#include "executor/graph/load.h"

namespace millrace {

int CheckVerb(CommandContext& context) {
  const absl::StatusOr<std::string> text = ReadFile(context.paths.file);
  if (!text.ok()) return ReportError(text.status());
  const absl::StatusOr<std::vector<Cluster>> clusters = LoadClusters(context);
  if (!clusters.ok()) return kExitBadInput;

  std::vector<std::string> profiles = {context.arguments.profile};
  if (context.arguments.profile.empty()) profiles = ProfileNames(*text);
  if (profiles.empty()) profiles = {""};

  LoadOptions options;
  options.file = context.paths.file_shown;
  options.set = context.arguments.set;
  options.workspace = context.paths.workspace;
  for (const auto& [name, folder] : context.arguments.data_root)
    options.data_root[name] = context.paths.Resolve(folder);
  if (context.manifest) options.manifest = &*context.manifest;

  Diagnostics all;
  Json checked = Json::array();
  std::string summary;
  std::set<std::string> unchecked;
  for (const std::string& profile : profiles) {
    options.profile = profile;
    // Without a cluster once, then with each.
    std::vector<absl::optional<Cluster>> places(1);
    places.insert(places.end(), clusters->begin(), clusters->end());
    if (!clusters->empty()) places.erase(places.begin());
    for (const absl::optional<Cluster>& place : places) {
      options.cluster = place;
      Diagnostics diagnostics;
      const absl::StatusOr<ResolvedPipeline> pipeline = LoadPipeline(*text, options, diagnostics);
      if (!pipeline.ok() && !diagnostics.has_errors()) return ReportError(pipeline.status());
      // Errors of the base file come with each profile: equal ones are shown once.
      for (const Diagnostic& diagnostic : diagnostics.Sorted()) {
        if (diagnostic.severity == Diagnostic::Severity::kError) {
          all.AddError(diagnostic.location, diagnostic.what, diagnostic.why, diagnostic.fix);
        } else {
          all.AddWarning(diagnostic.location, diagnostic.what, diagnostic.why, diagnostic.fix);
        }
      }
      if (!pipeline.ok()) continue;
      Json one;
      one["profile"] = profile;
      if (place) one["cluster"] = place->name();
      one["stages"] = pipeline->stages.size();
      one["unchecked"] = pipeline->unchecked;
      checked.push_back(one);
      absl::StrAppend(&summary, pipeline->name, profile.empty() ? "" : absl::StrCat(", profile ", profile),
                      place ? absl::StrCat(", cluster ", place->name()) : "", ": ", pipeline->stages.size(),
                      pipeline->stages.size() == 1 ? " stage" : " stages", ", good\n");
      unchecked.insert(pipeline->unchecked.begin(), pipeline->unchecked.end());
    }
  }
  PrintDiagnostics(context, all);
  if (all.has_errors()) return kExitBadInput;
  if (context.arguments.json) {
    Json json;
    json["checked"] = std::move(checked);
    PrintJson(json);
    return kExitOk;
  }
  PrintWrapped(context, summary);
  if (!unchecked.empty()) {
    Print("not looked at here:\n");
    for (const std::string& line : unchecked) PrintWrapped(context, absl::StrCat("  ", line, "\n"), 2);
  }
  return kExitOk;
}

}  // namespace millrace
