// What all verbs share: where things are, the loaded pipeline, how results and errors are printed.
#ifndef MILLRACE_EXECUTOR_CLI_COMMAND_H_
#define MILLRACE_EXECUTOR_CLI_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "base/diagnostic.h"
#include "executor/cli/arguments.h"
#include "executor/cli/paths.h"
#include "executor/engine/engine.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/tool_manifest.h"
#include "nlohmann/json.hpp"

namespace millrace {

// Exit statuses (ARCHITECTURE.md).
inline constexpr int kExitOk = 0;
inline constexpr int kExitStageFailed = 1;
inline constexpr int kExitBadInput = 2;
inline constexpr int kExitMachine = 3;
inline constexpr int kExitGate = 4;
inline constexpr int kExitInterrupted = 130;

using Json = nlohmann::ordered_json;

struct CommandContext {
  Arguments arguments;
  Paths paths;
  absl::optional<ToolManifest> manifest;
  std::string program;  // argv[0]
  bool color = false;   // of stdout
  int columns = 0;      // of stdout, where it is a terminal; else 0: lines are not broken
  double started = 0;   // seconds of a steady clock when the program began
};

// To stdout.
void Print(absl::string_view text);
// The same, with lines broken at the terminal's width; what follows is indented by `hanging` columns more.
void PrintWrapped(const CommandContext& context, absl::string_view text, int hanging = 4);
void PrintJson(const Json& json);
// Prints an error to stderr, and returns the exit status that goes with it: 2 where the user acts, 130 if it was the
// user who interrupted, else 3.
int ReportError(const absl::Status& status);
// The same for an error of the machine: 3 whatever its code.
int ReportMachineError(const absl::Status& status);
// Seconds since the program began.
double Elapsed(const CommandContext& context);

// Clusters that --cluster names. InvalidArgument: printed already.
absl::StatusOr<std::vector<Cluster>> LoadClusters(const CommandContext& context);
// Reads and resolves the pipeline with its profile (`profile` "" : --profile, else the default) and flags. Errors and
// warnings are printed, as text or, with --format=json, as one object on stdout.
// `check_fit`: as in LoadOptions.
absl::StatusOr<ResolvedPipeline> Load(const CommandContext& context, const absl::optional<Cluster>& cluster,
                                      bool check_fit = true);
// With what --cluster names; at most one.
absl::StatusOr<ResolvedPipeline> Load(const CommandContext& context);
// The errors, as --format=json prints them.
Json ErrorsOf(const Diagnostics& diagnostics);
// Prints the diagnostics; "2 errors; nothing was run or written." follows errors.
void PrintDiagnostics(const CommandContext& context, const Diagnostics& diagnostics);

// Processors given to stages: --jobs, else all of this machine.
int JobsOf(const CommandContext& context);
// Whether programs have been copied into the home: the first run does that.
bool HasTools(const std::string& home);

// With the shared caches of the cluster file and of --cache.
EngineOptions EngineOptionsOf(const CommandContext& context);
// The manifest, or an empty one.
const ToolManifest& ManifestOf(const CommandContext& context);

// "deepseek_7b, profile laptop (the file's default)".
std::string PipelineTitle(const CommandContext& context, const ResolvedPipeline& pipeline);
// What there is to say of the training stages: {"parameters", "0.93 M"}, {"tokens", "2.4 M"}, {"processes", "2"}.
std::vector<std::pair<std::string, std::string>> PipelineFacts(const ResolvedPipeline& pipeline);
// Those facts in a line: "0.93 M parameters, 2.4 M tokens, 2 processes"; "13 stages" where nothing is trained.
std::string FactsLine(const ResolvedPipeline& pipeline);

// A command for the user to run: this program, as it was called, with another verb. Flags that choose the experiment
// and the places are kept. `operands` stand behind FILE.
std::string CommandText(const CommandContext& context, absl::string_view verb, const std::vector<std::string>& operands,
                        const std::vector<std::string>& more_flags);

// The verbs. Each returns the exit status.
int RunVerb(CommandContext& context);
int CheckVerb(CommandContext& context);
int PlanVerb(CommandContext& context);
int ExplainVerb(CommandContext& context);
int StatusVerb(CommandContext& context);
int LogsVerb(CommandContext& context);
int ShowVerb(CommandContext& context);
int ReportVerb(CommandContext& context);
int GcVerb(CommandContext& context);
int PinVerb(CommandContext& context);
int ExportVerb(CommandContext& context);
int ImportVerb(CommandContext& context);
int LockVerb(CommandContext& context);
int ReproduceVerb(CommandContext& context);
int ExpectVerb(CommandContext& context);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_COMMAND_H_
