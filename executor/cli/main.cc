// The `millrace` program: which verb, with what, where.
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/diagnostic.h"
#include "base/file.h"
#include "executor/cli/arguments.h"
#include "executor/cli/command.h"
#include "executor/cli/paths.h"
#include "executor/observe/terminal.h"

namespace millrace {
namespace {

const char* GetEnv(const char* name) { return std::getenv(name); }

struct VerbEntry {
  const char* name;
  int (*run)(CommandContext&);
  bool needs_file;
  int operands;  // behind FILE
  const char* operand_names;
  bool may_have_file = true;
};

constexpr VerbEntry kVerbs[] = {
    {"run", RunVerb, true, 0, ""},
    {"check", CheckVerb, true, 0, ""},
    {"plan", PlanVerb, true, 0, ""},
    {"explain", ExplainVerb, true, 1, "STAGE"},
    {"status", StatusVerb, false, 0, ""},
    {"logs", LogsVerb, false, 1, "STAGE"},
    {"show", ShowVerb, false, 1, "ARTIFACT"},
    {"report", ReportVerb, false, 0, ""},
    {"gc", GcVerb, false, 0, ""},
    {"pin", PinVerb, false, 1, "NAME"},
    {"export", ExportVerb, false, 2, "RUN and TO"},
    {"import", ImportVerb, false, 1, "FROM", false},
    {"lock", LockVerb, true, 0, ""},
    {"reproduce", ReproduceVerb, true, 0, ""},
    {"expect", ExpectVerb, true, 0, ""},
};

int BadUsage(const Arguments& arguments, const std::string& what) {
  return ReportError(absl::InvalidArgumentError(absl::StrCat(
      what, "\n  fix: millrace ", arguments.verb_given ? absl::StrCat(arguments.verb, " ") : "", "--help")));
}

absl::Status ReadManifest(CommandContext& context) {
  if (context.paths.manifest.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> json = ReadFile(context.paths.manifest);
  if (!json.ok()) return json.status();
  absl::StatusOr<ToolManifest> manifest = ToolManifest::Parse(*json, context.paths.runfiles);
  if (!manifest.ok()) return manifest.status();
  context.manifest = *std::move(manifest);
  return absl::OkStatus();
}

// Ten thousand stages are a hundred megabytes, kept until the end. By default they would come from the system four
// kilobytes at a time, and large strings go back to it: a third of a run that has nothing to do.
void AskForMemoryInLargePieces() {
  constexpr int kHeapBytes = 256 << 20;  // addresses; memory only as it is used
  ::mallopt(M_TOP_PAD, kHeapBytes);
  ::mallopt(M_TRIM_THRESHOLD, kHeapBytes);
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  const auto before = reinterpret_cast<uintptr_t>(::sbrk(0));
  void* volatile grown = std::malloc(1 << 20);          // volatile: or the compiler leaves the pair out
  if (grown == nullptr) ::mallopt(M_TOP_PAD, 1 << 20);  // a limit on addresses
  std::free(grown);
  const auto after = reinterpret_cast<uintptr_t>(::sbrk(0));
  constexpr uintptr_t kHugePage = 2 << 20;
  const uintptr_t begin = (before + kHugePage - 1) / kHugePage * kHugePage;
  if (begin < after) ::madvise(reinterpret_cast<void*>(begin), after - begin, MADV_HUGEPAGE);
}

int Main(int argc, char** argv) {
  CommandContext context;
  struct timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  context.started = now.tv_sec + now.tv_nsec * 1e-9;
  context.program = argc > 0 ? argv[0] : "millrace";
  if (::isatty(STDOUT_FILENO) != 0) context.columns = TerminalSizeOf(STDOUT_FILENO).columns;

  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  absl::StatusOr<Arguments> parsed = ParseArguments(words);
  if (!parsed.ok()) return ReportError(parsed.status());
  context.arguments = *std::move(parsed);
  Arguments& arguments = context.arguments;
  if (arguments.version) {
    Print(absl::StrCat("millrace ", kVersion, "\n"));
    return kExitOk;
  }
  if (arguments.help || (words.empty())) {
    Print(HelpText(arguments.verb_given ? arguments.verb : "", context.columns > 0 ? context.columns : 100,
                   arguments.pipeline.empty()));
    return arguments.help ? kExitOk : kExitBadInput;
  }

  const VerbEntry* verb = nullptr;
  for (const VerbEntry& entry : kVerbs) {
    if (arguments.verb == entry.name) verb = &entry;
  }
  // FILE is the first operand, unless the launcher named it.
  std::string file = arguments.pipeline;
  std::vector<std::string>& operands = arguments.operands;
  if (file.empty() && !operands.empty() && verb->may_have_file &&
      (verb->needs_file || LooksLikeFile(operands[0], GetEnv))) {
    file = operands[0];
    operands.erase(operands.begin());
  }
  if (!arguments.verb_given && arguments.pipeline.empty() && !LooksLikeFile(file, GetEnv)) {
    std::vector<std::string> names = VerbNames();
    const std::string closest = Closest(file, names);
    if (!closest.empty()) {
      return ReportError(absl::InvalidArgumentError(
          absl::StrCat("\"", file, "\" is neither a verb nor a pipeline file\n  fix: ", closest)));
    }
  }
  if (verb->needs_file && file.empty())
    return BadUsage(arguments, absl::StrCat(arguments.verb, " needs a pipeline FILE"));
  if (operands.size() < verb->operands)
    return BadUsage(arguments, absl::StrCat(arguments.verb, " needs ", verb->operand_names));
  if (operands.size() > verb->operands) {
    return BadUsage(arguments,
                    absl::StrCat("\"", operands[verb->operands], "\": `", arguments.verb, "` takes ",
                                 verb->operands == 0 ? "no more" : absl::StrCat("one ", verb->operand_names)));
  }

  absl::StatusOr<Paths> paths = FindPaths(arguments, file, context.program, GetEnv);
  if (!paths.ok()) return ReportError(paths.status());
  context.paths = *std::move(paths);
  if (const absl::Status status = ReadManifest(context); !status.ok()) return ReportError(status);
  const absl::StatusOr<bool> color = ChooseColor(arguments.color, ::isatty(STDOUT_FILENO) != 0, GetEnv);
  if (!color.ok()) return ReportError(color.status());
  context.color = *color;
  const int exit_status = verb->run(context);
  std::fflush(stdout);
  return exit_status;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  millrace::AskForMemoryInLargePieces();
  return millrace::Main(argc, argv);
}
