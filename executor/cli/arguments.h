// The command line: verbs, flags and their help, all in one table, so that parsing, checking and `--help` agree.
#ifndef MILLRACE_EXECUTOR_CLI_ARGUMENTS_H_
#define MILLRACE_EXECUTOR_CLI_ARGUMENTS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct Arguments {
  std::string verb = "run";
  bool verb_given = false;
  // What is neither verb nor flag: FILE (unless --pipeline names it), STAGE, ARTIFACT.
  std::vector<std::string> operands;

  std::string pipeline, manifest, runfiles;  // from the launcher of a pipeline target
  std::string profile;
  std::vector<std::string> set;
  std::vector<std::string> cluster;  // FILE or FILE:NAME
  std::vector<std::string> cache;    // URLs
  std::vector<std::string> only;
  std::set<std::string> force;
  std::vector<std::pair<std::string, std::string>> data_root;
  int jobs = 0;
  bool keep_going = false;
  bool locked = false;
  std::string home, out;
  bool json = false;
  std::string progress, color;
  std::string run;     // id of a past run
  std::string output;  // file to write
  bool all = false, dropped = false, follow = false, resolved = false, update = false, dry_run = false, remove = false;
  int head = 0;  // 0: as many as suits what is shown
  int rank = 0;
  int64_t max_size_bytes = int64_t{20} << 30;
  double max_age_seconds = 30 * 86400.0;
  bool help = false, version = false;

  std::vector<std::string> flags;  // as given, without those of the launcher: for the record and for commands to repeat
};

// `words` without the program's name. InvalidArgument: what is wrong, with a suggestion.
absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& words);

// `--help`, of the program or of a verb, for a screen of so many columns. `verb` is one of VerbNames() or "".
// `needs_file`: FILE is to be given; false: a pipeline target names it.
std::string HelpText(absl::string_view verb, int columns = 100, bool needs_file = true);
std::vector<std::string> VerbNames();

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CLI_ARGUMENTS_H_
