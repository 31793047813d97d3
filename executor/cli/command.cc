#include "executor/cli/command.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "executor/engine/home.h"
#include "executor/engine/machine.h"
#include "executor/graph/load.h"
#include "executor/observe/display_width.h"
#include "executor/observe/terminal.h"
#include "pipelines/schema/train.pb.h"
#include "trainer/arch/model_config.h"
#include "trainer/arch/model_size.h"

namespace millrace {
namespace {

Json JsonOf(const Diagnostic& diagnostic) {
  Json json;
  json["severity"] = diagnostic.severity == Diagnostic::Severity::kError ? "error" : "warning";
  json["file"] = diagnostic.location.file;
  json["line"] = diagnostic.location.line;
  json["column"] = diagnostic.location.column;
  json["what"] = diagnostic.what;
  if (!diagnostic.why.empty()) json["why"] = diagnostic.why;
  if (!diagnostic.fix.empty()) json["fix"] = diagnostic.fix;
  return json;
}

// Quoted for a POSIX shell where it must be.
std::string Quoted(const std::string& word) {
  bool plain = !word.empty();
  for (char c : word) plain = plain && (absl::ascii_isalnum(c) || absl::StrContains("-_./=:,@%+", std::string(1, c)));
  if (plain) return word;
  std::string quoted = "'";
  for (char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// The label of the pipeline target that wrote this manifest ("REPOSITORY/pipelines/x_manifest.json" below the runfiles
// root), or "".
std::string LabelOf(const CommandContext& context) {
  if (context.arguments.pipeline.empty()) return "";
  absl::string_view path = context.paths.manifest;
  if (!absl::ConsumePrefix(&path, context.paths.runfiles) || !absl::ConsumePrefix(&path, "/")) return "";
  const size_t repository = path.find('/');
  if (repository == absl::string_view::npos) return "";
  path.remove_prefix(repository + 1);
  if (!absl::ConsumeSuffix(&path, "_manifest.json")) return "";
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return absl::StrCat("//:", path);
  return absl::StrCat("//", path.substr(0, slash), ":", path.substr(slash + 1));
}

}  // namespace

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintWrapped(const CommandContext& context, absl::string_view text, int hanging) {
  Print(WrapText(text, context.columns, hanging));
}

void PrintJson(const Json& json) {
  Print(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  Print("\n");
}

int ReportMachineError(const absl::Status& status) {
  std::fflush(stdout);
  std::string text = absl::StrCat("millrace: ", status.message());
  if (absl::StrContains(text, "No space left on device") && !absl::StrContains(text, "fix: "))
    absl::StrAppend(&text,
                    "\n  fix: free some disk space, or `millrace gc`; --home=DIR and --out=DIR name other places");
  text = WrapText(text, ::isatty(STDERR_FILENO) != 0 ? TerminalSizeOf(STDERR_FILENO).columns : 0, 5);
  std::fprintf(stderr, "%s\n", text.c_str());
  return kExitMachine;
}

int ReportError(const absl::Status& status) {
  ReportMachineError(status);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return kExitBadInput;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitMachine;
  }
}

double Elapsed(const CommandContext& context) {
  struct timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec * 1e-9 - context.started;
}

Json ErrorsOf(const Diagnostics& diagnostics) {
  Json errors = Json::array();
  for (const Diagnostic& diagnostic : diagnostics.Sorted()) errors.push_back(JsonOf(diagnostic));
  return errors;
}

void PrintDiagnostics(const CommandContext& context, const Diagnostics& diagnostics) {
  if (context.arguments.json) {
    if (!diagnostics.has_errors()) return;
    PrintJson({{"errors", ErrorsOf(diagnostics)}});
    return;
  }
  std::string text = diagnostics.ToString();
  if (diagnostics.has_errors()) {
    absl::StrAppend(&text, diagnostics.num_errors(), diagnostics.num_errors() == 1 ? " error" : " errors",
                    "; nothing was run or written.\n");
  }
  std::fflush(stdout);
  text = WrapText(text, ::isatty(STDERR_FILENO) != 0 ? TerminalSizeOf(STDERR_FILENO).columns : 0, 5);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

absl::StatusOr<std::vector<Cluster>> LoadClusters(const CommandContext& context) {
  std::vector<Cluster> clusters;
  Diagnostics diagnostics;
  for (const std::string& named : context.arguments.cluster) {
    std::string file = named, name;
    if (const size_t colon = named.rfind(':');
        colon != std::string::npos && !FileExists(context.paths.Resolve(named))) {
      file = named.substr(0, colon);
      name = named.substr(colon + 1);
    }
    absl::StatusOr<std::string> text = ReadFile(context.paths.Resolve(file));
    if (!text.ok()) {
      diagnostics.AddError({named, 0, 0}, "the cluster file cannot be read", std::string(text.status().message()));
      continue;
    }
    absl::StatusOr<Cluster> cluster = LoadCluster(*text, file, name, diagnostics);
    if (cluster.ok()) {
      clusters.push_back(*std::move(cluster));
    } else if (!diagnostics.has_errors()) {
      diagnostics.AddError({named, 0, 0}, std::string(cluster.status().message()));
    }
  }
  if (!diagnostics.has_errors()) return clusters;
  PrintDiagnostics(context, diagnostics);
  return absl::InvalidArgumentError("");
}

absl::StatusOr<ResolvedPipeline> Load(const CommandContext& context, const absl::optional<Cluster>& cluster,
                                      bool check_fit) {
  const Arguments& arguments = context.arguments;
  absl::StatusOr<std::string> text = ReadFile(context.paths.file);
  if (!text.ok()) {
    ReportError(text.status());
    return text.status();
  }
  LoadOptions options;
  options.file = context.paths.file_shown;
  options.profile = arguments.profile;
  options.set = arguments.set;
  options.only = arguments.only;
  options.workspace = context.paths.workspace;
  for (const auto& [name, folder] : arguments.data_root) options.data_root[name] = context.paths.Resolve(folder);
  options.cluster = cluster;
  options.check_fit = check_fit;
  if (context.manifest) options.manifest = &*context.manifest;
  Diagnostics diagnostics;
  absl::StatusOr<ResolvedPipeline> pipeline = LoadPipeline(*text, options, diagnostics);
  if (!pipeline.ok() && !diagnostics.has_errors()) {
    ReportError(pipeline.status());
    return pipeline.status();
  }
  PrintDiagnostics(context, diagnostics);
  if (!pipeline.ok()) return pipeline.status();
  for (const auto& names : {std::vector<std::string>(arguments.force.begin(), arguments.force.end())}) {
    for (const std::string& name : names) {
      if (pipeline->FindStage(name) >= 0) continue;
      std::vector<std::string> stages;
      for (const ResolvedStage& stage : pipeline->stages) stages.push_back(stage.name);
      const std::string closest = Closest(name, stages);
      const absl::Status status =
          absl::InvalidArgumentError(absl::StrCat("--force: no stage is named \"", name, "\"",
                                                  closest.empty() ? "" : absl::StrCat("\n  fix: --force=", closest)));
      ReportError(status);
      return status;
    }
  }
  return pipeline;
}

absl::StatusOr<ResolvedPipeline> Load(const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::vector<Cluster> clusters, LoadClusters(context));
  if (clusters.size() > 1) {
    const absl::Status status =
        absl::InvalidArgumentError("--cluster is given twice\n  why: a pipeline runs on one\n  fix: name one");
    ReportError(status);
    return status;
  }
  return Load(context, clusters.empty() ? absl::optional<Cluster>() : clusters[0]);
}

int JobsOf(const CommandContext& context) {
  return context.arguments.jobs > 0 ? context.arguments.jobs : NumProcessors();
}

bool HasTools(const std::string& home) { return !FolderNames(JoinPath(home, "tools")).empty(); }

// The cluster file has been checked when the pipeline was loaded.
static void AddClusterCaches(const CommandContext& context, EngineOptions& options) {
  if (context.arguments.cluster.size() != 1) return;
  const absl::StatusOr<std::vector<Cluster>> clusters = LoadClusters(context);
  if (!clusters.ok()) return;
  for (const Cache& cache : clusters->front().cache()) {
    HttpCacheConfig& config = options.caches.emplace_back();
    config.url = cache.url();
    config.read_only = cache.read_only();
    if (const absl::StatusOr<int64_t> bytes = ParseBytes(cache.max_blob_size()); bytes.ok())
      config.max_blob_bytes = *bytes;
    config.credentials.variable = cache.credentials_env();
    if (!cache.has_credentials_file()) continue;
    absl::string_view file = cache.credentials_file();
    const char* home = std::getenv("HOME");
    config.credentials.file = absl::ConsumePrefix(&file, "~/") && home != nullptr
                                  ? JoinPath(home, file)
                                  : context.paths.Resolve(cache.credentials_file());
  }
}

EngineOptions EngineOptionsOf(const CommandContext& context) {
  EngineOptions options;
  options.home = context.paths.home;
  options.jobs = context.arguments.jobs;
  options.force = context.arguments.force;
  options.locked = context.arguments.locked;
  options.keep_going = context.arguments.keep_going;
  options.arguments = context.arguments.flags;
  AddClusterCaches(context, options);
  for (const std::string& url : context.arguments.cache) options.caches.emplace_back().url = url;
  return options;
}

const ToolManifest& ManifestOf(const CommandContext& context) {
  static const ToolManifest& empty = *new ToolManifest;
  return context.manifest ? *context.manifest : empty;
}

std::string PipelineTitle(const CommandContext& context, const ResolvedPipeline& pipeline) {
  if (pipeline.profile.empty()) return pipeline.name;
  return absl::StrCat(pipeline.name, ", profile ", pipeline.profile,
                      context.arguments.profile.empty() ? " (the file's default)" : "");
}

std::vector<std::pair<std::string, std::string>> PipelineFacts(const ResolvedPipeline& pipeline) {
  for (const ResolvedStage& stage : pipeline.stages) {
    if (stage.kind != "train") continue;
    std::vector<std::pair<std::string, std::string>> facts;
    const auto& train = static_cast<const Train&>(*stage.parameters);
    if (const auto config = trainer::ModelConfigFromProto(train.model()); config.ok()) {
      facts.emplace_back("parameters", FormatCount(trainer::CountParameters(*config).total()));
    }
    if (stage.train_steps) {
      facts.emplace_back("tokens", FormatCount(stage.train_steps->total_steps * stage.train_steps->tokens_per_step));
    }
    if (stage.ranks > 1) facts.emplace_back("processes", absl::StrCat(stage.ranks));
    return facts;
  }
  return {};
}

std::string FactsLine(const ResolvedPipeline& pipeline) {
  std::vector<std::string> parts;
  for (const auto& [label, value] : PipelineFacts(pipeline)) parts.push_back(absl::StrCat(value, " ", label));
  if (parts.empty()) {
    return absl::StrCat(FormatGrouped(pipeline.stages.size()), pipeline.stages.size() == 1 ? " stage" : " stages");
  }
  return absl::StrJoin(parts, ", ");
}

std::string CommandText(const CommandContext& context, absl::string_view verb, const std::vector<std::string>& operands,
                        const std::vector<std::string>& more_flags) {
  std::vector<std::string> words;
  const bool by_bazel = std::getenv("BUILD_WORKSPACE_DIRECTORY") != nullptr;
  const std::string label = by_bazel ? LabelOf(context) : "";
  if (!label.empty()) {
    words = {"bazel", "run", label, "--", std::string(verb.data(), verb.size())};
  } else {
    if (by_bazel && context.arguments.pipeline.empty()) {
      words = {"bazel", "run", "//:millrace", "--"};
    } else {
      words = {context.program};
    }
    words.emplace_back(verb.data(), verb.size());
    if (!context.paths.file.empty()) words.push_back(context.paths.Shown(context.paths.file));
  }
  words.insert(words.end(), operands.begin(), operands.end());
  for (const std::string& flag : context.arguments.flags) {
    for (const char* kept :
         {"--profile=", "--set=", "--cluster=", "--cache=", "--data-root=", "--home=", "--out=", "--jobs="}) {
      if (absl::StartsWith(flag, kept)) words.push_back(flag);
    }
    if (flag == "--locked") words.push_back(flag);
  }
  if (label.empty() && !context.arguments.manifest.empty()) {
    words.push_back(absl::StrCat("--manifest=", context.paths.manifest));
    words.push_back(absl::StrCat("--runfiles=", context.paths.runfiles));
  }
  words.insert(words.end(), more_flags.begin(), more_flags.end());
  for (std::string& word : words) word = Quoted(word);
  return absl::StrJoin(words, " ");
}

}  // namespace millrace
