// `show`: finds the artifact of a past run, and what decodes it.
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "executor/cli/command.h"
#include "executor/cli/past_runs.h"
#include "executor/cli/show.h"
#include "executor/observe/display_width.h"
#include "executor/observe/metric_text.h"
#include "executor/observe/progress_view.h"

namespace millrace {
namespace {

// The nearest stage before `stage`, or itself, that made a tokenizer.
const StageView* TokenizerBefore(const RunModel& model, const StageView& stage) {
  std::vector<const StageView*> front = {&stage};
  std::set<std::string> seen;
  for (size_t i = 0; i < front.size(); ++i) {
    const std::string& kind = front[i]->info.kind();
    if (kind == "tokenizer" || kind == "train_tokenizer") return front[i];
    for (const StageInputInfo& input : front[i]->info.input()) {
      const StageView* producer = input.stage().empty() ? nullptr : model.Find(input.stage());
      if (producer != nullptr && seen.insert(input.stage()).second) front.push_back(producer);
    }
  }
  return nullptr;
}

std::string DroppedText(const StageView& stage, int head) {
  std::map<std::string, std::vector<const Example*>> groups;
  for (const Example& example : stage.examples) groups[example.group()].push_back(&example);
  std::string text = absl::StrCat(stage.name(), "  ", StageHeadline(stage), "\n");
  if (groups.empty()) return absl::StrCat(text, "no examples were recorded\n");
  for (const auto& [group, examples] : groups) {
    const size_t shown = std::min<size_t>(examples.size(), head > 0 ? head : 5);
    absl::StrAppend(&text, "\n", group, " (", shown, " of ", examples.size(), " recorded)\n");
    for (size_t i = 0; i < shown; ++i) {
      absl::StrAppend(&text, "  ", Printable(examples[i]->title()), "\n");
      int lines = 0;
      for (absl::string_view line : absl::StrSplit(examples[i]->text(), '\n')) {
        if (++lines > 8) {
          absl::StrAppend(&text, "    | …\n");
          break;
        }
        absl::StrAppend(&text, "    | ", TruncateToWidth(Printable(line), 200), "\n");
      }
    }
  }
  return text;
}

}  // namespace

int ShowVerb(CommandContext& context) {
  absl::StatusOr<PastRun> asked = FindRun(context.paths.home, context.arguments.run, context.paths.file_shown);
  if (!asked.ok()) return ReportError(asked.status());
  const std::string& artifact = context.arguments.operands[0];
  const size_t dot = artifact.find('.');
  const std::string name = artifact.substr(0, dot);
  const absl::StatusOr<StageOfRun> found =
      FindStage(context.paths.home, *std::move(asked), name, context.arguments.run.empty());
  if (!found.ok()) return ReportError(found.status());
  if (!found->note.empty()) std::fprintf(stderr, "%s\n", found->note.c_str());
  const PastRun* run = &found->run;
  const StageView* stage = run->model.Find(name);
  if (context.arguments.dropped) {
    PrintWrapped(context, DroppedText(*stage, context.arguments.head), 2);
    return kExitOk;
  }
  if (!stage->entry || stage->entry->output_size() == 0) {
    return ReportError(absl::NotFoundError(absl::StrCat("\"", name, "\" has no result in run ", run->id,
                                                        "\n  why: its state is \"", StateName(stage->state), "\"")));
  }
  const OutputTree* output = nullptr;
  std::vector<std::string> outputs;
  for (const OutputTree& one : stage->entry->output()) {
    outputs.push_back(absl::StrCat(name, ".", one.name()));
    if (output == nullptr && (dot == std::string::npos || one.name() == artifact.substr(dot + 1))) output = &one;
  }
  if (output == nullptr) {
    return ReportError(absl::NotFoundError(
        absl::StrCat("there is no output \"", artifact, "\"\n  fix: ", absl::StrJoin(outputs, ", "))));
  }
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(EngineOptionsOf(context), &ManifestOf(context));
  if (!engine.ok()) return ReportMachineError(engine.status());
  const absl::StatusOr<std::string> folder = (*engine)->Materialize(*output);
  if (!folder.ok()) return ReportError(folder.status());

  ShowOptions options;
  options.head = context.arguments.head;
  options.sources.assign(stage->info.source().begin(), stage->info.source().end());
  const StageView* tokenizer = TokenizerBefore(run->model, *stage);
  if (tokenizer != nullptr && tokenizer->entry && tokenizer->entry->output_size() > 0) {
    const absl::StatusOr<std::string> at = (*engine)->Materialize(tokenizer->entry->output(0));
    if (at.ok()) options.tokenizer_folder = *at;
  }
  const absl::StatusOr<std::string> text = ShowArtifact(*folder, options);
  if (!text.ok()) return ReportError(text.status());
  PrintWrapped(context,
               absl::StrCat(Styled(absl::StrCat(name, ".", output->name()), "bold", context.color), "  ",
                            output->digest(), "\n", *text),
               2);
  if (outputs.size() > 1 && dot == std::string::npos) {
    Print(absl::StrCat("its outputs: ", absl::StrJoin(outputs, ", "), "\n"));
  }
  return kExitOk;
}

}  // namespace millrace
