// `reproduce`: two runs from empty homes in different folders, with different numbers of jobs; every digest compared.
#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "executor/cli/command.h"
#include "executor/cli/live_run.h"
#include "executor/graph/load.h"
#include "executor/observe/display_width.h"
#include "executor/observe/progress_view.h"

namespace millrace {
namespace {

struct Comparison {
  std::string stage, output, first, second;  // digests; "" : not made
  bool same() const { return !first.empty() && first == second; }
};

std::string DigestOf(const RunResult& result, const std::string& stage, const std::string& output) {
  const auto entry = result.entries.find(stage);
  if (entry == result.entries.end()) return "";
  for (const OutputTree& tree : entry->second.output()) {
    if (tree.name() == output) return tree.digest();
  }
  return "";
}

std::vector<Comparison> Compare(const ResolvedPipeline& pipeline, const RunResult& first, const RunResult& second) {
  std::vector<Comparison> comparisons;
  for (const ResolvedStage& stage : pipeline.stages) {
    for (const OutputSpec& output : stage.outputs) {
      comparisons.push_back({stage.name, output.name, DigestOf(first, stage.name, output.name),
                             DigestOf(second, stage.name, output.name)});
    }
  }
  return comparisons;
}

}  // namespace

int ReproduceVerb(CommandContext& context) {
  const absl::StatusOr<ResolvedPipeline> pipeline = Load(context);
  if (!pipeline.ok()) return kExitBadInput;
  Diagnostics diagnostics;
  CheckRunnable(*pipeline, diagnostics);
  if (diagnostics.has_errors()) {
    PrintDiagnostics(context, diagnostics);
    return kExitBadInput;
  }
  int ranks = 1;
  for (const ResolvedStage& stage : pipeline->stages) ranks = std::max(ranks, stage.ranks);
  // The second run has another name of its folder, of another length, and another number of jobs: as few as its gangs
  // need, or one more where that is what the first has.
  EngineOptions options = EngineOptionsOf(context);
  options.caches.clear();  // everything is to be made here
  if (options.jobs == 0) options.jobs = std::max(1u, std::thread::hardware_concurrency());
  int second_jobs = ranks;
  if (options.jobs == second_jobs) ++second_jobs;
  RunResult results[2];
  std::string folders[2];
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<std::string> folder = MakeTempDirectory(i == 0 ? "reproduce" : "reproduce_the_second_time");
    if (!folder.ok()) return ReportMachineError(folder.status());
    folders[i] = *folder;
    options.home = JoinPath(*folder, i == 0 ? "home" : "another/place");
    if (i == 1) options.jobs = second_jobs;
    int exit_status = 0;
    absl::StatusOr<LiveRun> run = RunLive(
        context, *pipeline, options,
        absl::StrCat(PipelineTitle(context, *pipeline), ", run ", i + 1, " of 2: ", FactsLine(*pipeline)), exit_status);
    if (!run.ok() || (exit_status != kExitOk && exit_status != kExitGate)) {
      std::fprintf(stderr, "run %d of 2 did not end well; its home is kept: %s\n", i + 1, options.home.c_str());
      return exit_status;
    }
    results[i] = std::move(run->result);
  }
  const std::vector<Comparison> comparisons = Compare(*pipeline, results[0], results[1]);
  int different = 0;
  int columns = 0;
  for (const Comparison& one : comparisons) {
    different += !one.same();
    columns = std::max<int>(columns, one.stage.size() + one.output.size() + 1);
  }
  if (context.arguments.json) {
    Json json;
    json["same"] = different == 0;
    for (const Comparison& one : comparisons) {
      Json row;
      row["stage"] = one.stage;
      row["output"] = one.output;
      row["first"] = one.first;
      row["second"] = one.second;
      row["same"] = one.same();
      json["outputs"].push_back(std::move(row));
    }
    if (different > 0) json["homes"] = {folders[0], folders[1]};
    PrintJson(json);
  } else {
    for (const Comparison& one : comparisons) {
      Print(absl::StrCat(
          "  ", one.same() ? Styled("same     ", "green", context.color) : Styled("DIFFERENT", "red", context.color),
          "  ", PadRight(absl::StrCat(one.stage, ".", one.output), columns), "  ", one.first,
          one.same() ? "" : absl::StrCat("\n", std::string(columns + 15, ' '), one.second), "\n"));
    }
    Print(different == 0
              ? absl::StrCat(comparisons.size(), " outputs of ", pipeline->stages.size(),
                             " stages are the same, bit for bit, in two runs from empty caches.\n")
              : absl::StrCat(different, " of ", comparisons.size(),
                             " outputs differ. Kept for comparison: ", folders[0], " and ", folders[1], "\n"));
  }
  if (different > 0) return kExitGate;
  for (const std::string& folder : folders) RemoveTree(folder).IgnoreError();
  return kExitOk;
}

}  // namespace millrace
