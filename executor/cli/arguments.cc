#include "executor/cli/arguments.h"

#include <algorithm>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "base/diagnostic.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "executor/cas/remote/http_cache.h"
#include "executor/observe/display_width.h"

namespace millrace {
namespace {

struct Verb {
  const char* name;
  const char* operands;
  const char* summary;
  const char* description;
};

const std::vector<Verb>& Verbs() {
  static const auto& verbs = *new std::vector<Verb>{
      {"run", "FILE", "run the pipeline: what is cached is not run again (the default)",
       "Runs the stages whose result is not in the cache, in parallel, and puts links to the results and a report "
       "below millrace-out/PIPELINE in the workspace. Exit status: 0 all is there; 1 a stage failed; 2 bad input, or "
       "refused; 3 the machine failed; 4 a gate does not hold; 130 interrupted."},
      {"check", "FILE", "check the file, every profile of it; nothing is run",
       "Reports every independent error of the file as `file:line:col: what`, `why:`, `fix:`, and what it could not "
       "look at here. Without --profile all profiles are checked. --cluster may be given several times: each profile's "
       "models must fit each of them."},
      {"plan", "FILE", "say what is cached, what would run and why",
       "Nothing is run or written. With --cluster it also says what of a training run fits which layout on its "
       "machines, how long it takes and what bounds it. --resolved prints the file with its profile merged and flags "
       "applied."},
      {"explain", "FILE STAGE", "say why a stage would run or is cached",
       "Compares the stage's key with that of its last run here (or of --run): each component that changed, old and "
       "new value and where it is set; for training, up to which step the recorded prefix holds."},
      {"status", "[FILE]", "show the last run, or --run", "Shows each stage's state, time and result."},
      {"logs", "[FILE] STAGE", "print what a stage of the last run, or of --run, wrote",
       "Prints the log of one rank (--rank, 0). A stage that was cached has its log in the run that made it, and one "
       "that was renamed in the runs before: both are found."},
      {"show", "[FILE] ARTIFACT", "look into a result: STAGE or STAGE.OUTPUT",
       "Documents, shards decoded with document borders, a mixture, a tokenizer, a checkpoint's tensors, metrics; "
       "other files as a list. From the last run, or --run. --dropped shows examples of what a stage dropped."},
      {"report", "[FILE]", "write the HTML report of the last run, or of --run",
       "Writes millrace-out/PIPELINE/report.html in the workspace, or --output."},
      {"gc", "", "make the cache smaller",
       "Removes the bytes of the results that were not used for longest and are the cheapest to make again, until the "
       "cache has at most --max-size; logs of runs older than --max-age, but for each pipeline's last; and copies of "
       "programs that no run has used for that long. What a run that goes on needs stays, and what is pinned. So does "
       "what is known of the results (digests, metrics): keys can still be computed, and only what is needed is made "
       "again."},
      {"pin", "[FILE] NAME", "keep the results of a run, whatever gc does, until the pin is removed",
       "Of the last run, or of --run. --remove takes the pin away: the results stay until gc needs their room."},
      {"export", "[FILE] RUN TO", "write a run with all its results to one file (a tar archive)",
       "For a machine that is on no network: `import` takes it in there. RUN is the start of a run's id, or \"last\"."},
      {"import", "FROM", "take in a run that `export` wrote: its results are cached then",
       "Every byte is checked on the way."},
      {"lock", "FILE", "write the lock files that the corpora name",
       "Each `lock` that a corpus of the pipeline names gets the relative path, size and SHA-256 of its files as they "
       "are now. Commit them: a difference is a warning from then on, and with --locked an error."},
      {"reproduce", "FILE", "run twice from empty caches and compare every digest",
       "In two new folders, with different numbers of jobs. Exit status 4 if a digest differs."},
      {"expect", "FILE", "run, and hold the results to the profile's `expect` lines",
       "What `pipeline_test` runs. --update writes the values that were found into the file and shows the difference. "
       "Exit status 4 if an expectation does not hold."},
  };
  return verbs;
}

struct Flag {
  const char* name;
  const char* value;  // "" : takes none
  const char* verbs;  // names with spaces around them; "" : all
  const char* help;
  std::function<absl::Status(Arguments&, const std::string&)> set;
};

std::function<absl::Status(Arguments&, const std::string&)> Text(std::string Arguments::*member) {
  return [member](Arguments& arguments, const std::string& value) {
    arguments.*member = value;
    return absl::OkStatus();
  };
}

std::function<absl::Status(Arguments&, const std::string&)> Append(std::vector<std::string> Arguments::*member) {
  return [member](Arguments& arguments, const std::string& value) {
    (arguments.*member).push_back(value);
    return absl::OkStatus();
  };
}

std::function<absl::Status(Arguments&, const std::string&)> Yes(bool Arguments::*member) {
  return [member](Arguments& arguments, const std::string&) {
    arguments.*member = true;
    return absl::OkStatus();
  };
}

std::function<absl::Status(Arguments&, const std::string&)> Count(int Arguments::*member, int at_least) {
  return [member, at_least](Arguments& arguments, const std::string& value) {
    int number;
    if (!absl::SimpleAtoi(value, &number) || number < at_least) {
      return absl::InvalidArgumentError(absl::StrCat("\"", value, "\" is not a whole number of at least ", at_least));
    }
    arguments.*member = number;
    return absl::OkStatus();
  };
}

constexpr char kLoads[] = " run check plan explain reproduce expect lock ";
constexpr char kRuns[] = " run reproduce expect ";
constexpr char kPast[] = " status logs show report explain pin ";
constexpr char kPrints[] = " run check plan explain status gc reproduce expect export import ";
constexpr char kClusters[] = " run check plan explain reproduce expect lock show export ";
constexpr char kCaches[] = " run plan explain expect show export ";

const std::vector<Flag>& Flags() {
  static const auto& flags = *new std::vector<Flag>{
      {"profile", "NAME", kLoads, "the profile to use; absent: the file's default_profile", Text(&Arguments::profile)},
      {"set", "PATH=VALUE", kLoads,
       "set a field: stage, then field path, as in pretrain.train.max_tokens=50k; names may be left out where that is "
       "unambiguous; repeatable",
       Append(&Arguments::set)},
      {"cluster", "FILE[:NAME]", kClusters, "the cluster file that names machines and data roots",
       Append(&Arguments::cluster)},
      {"cache", "URL", kCaches,
       "a shared cache over HTTP (nginx, bazel-remote), asked after this machine's own and those of the cluster file; "
       "repeatable",
       [](Arguments& arguments, const std::string& value) {
         RETURN_IF_ERROR(CheckCacheUrl(value));
         arguments.cache.push_back(value);
         return absl::OkStatus();
       }},
      {"data-root", "NAME=DIR", kLoads, "where files of NAME:// are; wins over the cluster's; repeatable",
       [](Arguments& arguments, const std::string& value) {
         const size_t equals = value.find('=');
         if (equals == std::string::npos || equals == 0 || equals + 1 == value.size()) {
           return absl::InvalidArgumentError(absl::StrCat("\"", value, "\" is not NAME=DIR"));
         }
         arguments.data_root.emplace_back(value.substr(0, equals), value.substr(equals + 1));
         return absl::OkStatus();
       }},
      {"only", "STAGE", " run plan ", "this stage and what it needs; repeatable", Append(&Arguments::only)},
      {"force", "STAGE", " run plan ", "run this stage although its result is cached; repeatable",
       [](Arguments& arguments, const std::string& value) {
         arguments.force.insert(value);
         return absl::OkStatus();
       }},
      {"jobs", "N", kRuns, "processors given to stages at a time; absent: all of this machine",
       Count(&Arguments::jobs, 1)},
      {"keep-going", "", " run ", "after a failure run all that does not need the failed stage",
       Yes(&Arguments::keep_going)},
      {"locked", "", kRuns, "a file that does not match its lock is an error, not a warning", Yes(&Arguments::locked)},
      {"home", "DIR", "", "cache and runs; absent: millrace in the user's cache folder", Text(&Arguments::home)},
      {"out", "DIR", " run report expect ", "links to results and the report; absent: millrace-out in the workspace",
       Text(&Arguments::out)},
      {"run", "ID", kPast, "this run instead of the last one; the start of its id is enough if no other begins so",
       Text(&Arguments::run)},
      {"all", "", " explain status plan ", "list everything, also what did not change", Yes(&Arguments::all)},
      {"resolved", "", " plan ", "print the merged file instead", Yes(&Arguments::resolved)},
      {"follow", "", " logs ", "go on printing until the stage has ended", Yes(&Arguments::follow)},
      {"rank", "N", " logs ", "the process of a training stage whose log is meant; 0", Count(&Arguments::rank, 0)},
      {"dropped", "", " show ", "examples of what the stage dropped, with reasons", Yes(&Arguments::dropped)},
      {"head", "N", " show ", "how many documents, sequences or rows to show", Count(&Arguments::head, 1)},
      {"output", "FILE", " report ", "where to write", Text(&Arguments::output)},
      {"max-size", "SIZE", " gc ", "bytes that may stay; 20GiB",
       [](Arguments& arguments, const std::string& value) {
         ASSIGN_OR_RETURN(arguments.max_size_bytes, ParseBytes(value));
         return absl::OkStatus();
       }},
      {"max-age", "DURATION", " gc ", "remove logs and programs that are older; 30d",
       [](Arguments& arguments, const std::string& value) {
         ASSIGN_OR_RETURN(arguments.max_age_seconds, ParseDurationSeconds(value));
         return absl::OkStatus();
       }},
      {"dry-run", "", " gc ", "say what would be removed, remove nothing", Yes(&Arguments::dry_run)},
      {"remove", "", " pin ", "take the pin away", Yes(&Arguments::remove)},
      {"update", "", " expect ", "write the found values into the file", Yes(&Arguments::update)},
      {"format", "FORMAT", kPrints, "text or json",
       [](Arguments& arguments, const std::string& value) {
         if (value != "text" && value != "json") {
           return absl::InvalidArgumentError(absl::StrCat("\"", value, "\": accepted: text, json"));
         }
         arguments.json = value == "json";
         return absl::OkStatus();
       }},
      {"progress", "MODE", kRuns, "auto, tty, plain or quiet; on stderr", Text(&Arguments::progress)},
      {"color", "WHEN", "", "auto, always or never; NO_COLOR and CLICOLOR_FORCE are honoured", Text(&Arguments::color)},
      {"help", "", "", "this text", Yes(&Arguments::help)},
      {"version", "", "", "the version of this program", Yes(&Arguments::version)},
      // Given by the launchers that the rules write.
      {"pipeline", "FILE", "", nullptr, Text(&Arguments::pipeline)},
      {"manifest", "FILE", "", nullptr, Text(&Arguments::manifest)},
      {"runfiles", "DIR", "", nullptr, Text(&Arguments::runfiles)},
  };
  return flags;
}

bool Takes(const Flag& flag, absl::string_view verb) {
  return flag.verbs[0] == '\0' || absl::StrContains(flag.verbs, absl::StrCat(" ", verb, " "));
}

const Flag* FindFlag(absl::string_view name) {
  for (const Flag& flag : Flags()) {
    if (name == flag.name) return &flag;
  }
  return nullptr;
}

const Verb* FindVerb(absl::string_view name) {
  for (const Verb& verb : Verbs()) {
    if (name == verb.name) return &verb;
  }
  return nullptr;
}

absl::Status UnknownFlag(absl::string_view name) {
  std::vector<std::string> names;
  for (const Flag& flag : Flags()) {
    if (flag.help != nullptr) names.push_back(flag.name);
  }
  const std::string closest = Closest(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("there is no flag \"--", name,
                   "\"\n  fix: ", closest.empty() ? "`--help` lists them" : absl::StrCat("--", closest)));
}

}  // namespace

std::vector<std::string> VerbNames() {
  std::vector<std::string> names;
  for (const Verb& verb : Verbs()) names.push_back(verb.name);
  return names;
}

absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& words) {
  Arguments arguments;
  std::vector<const Flag*> given;
  bool only_operands = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (only_operands || word.size() < 2 || word[0] != '-') {
      if (!arguments.verb_given && arguments.operands.empty() && FindVerb(word) != nullptr) {
        arguments.verb = word;
        arguments.verb_given = true;
      } else if (word == "help" && !arguments.verb_given && arguments.operands.empty()) {
        arguments.help = true;
      } else {
        arguments.operands.push_back(word);
      }
      continue;
    }
    if (word == "--") {
      only_operands = true;
      continue;
    }
    if (word == "-h") {
      arguments.help = true;
      continue;
    }
    if (word[1] != '-') {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", word, "\": flags begin with two dashes\n  fix: ",
                       word == "-j" || absl::StartsWith(word, "-j") ? "--jobs=N" : "`--help` lists them"));
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Flag* flag = FindFlag(name);
    if (flag == nullptr) return UnknownFlag(name);
    std::string value;
    if (flag->value[0] == '\0') {
      if (equals != std::string::npos) {
        return absl::InvalidArgumentError(absl::StrCat("--", name, " takes no value\n  fix: --", name));
      }
    } else if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value\n  fix: --", name, "=", flag->value));
    }
    if (absl::Status status = flag->set(arguments, value); !status.ok()) {
      return Annotate(status, absl::StrCat("--", name));
    }
    given.push_back(flag);
    if (flag->help != nullptr) {
      arguments.flags.push_back(flag->value[0] == '\0' ? absl::StrCat("--", name)
                                                       : absl::StrCat("--", name, "=", value));
    }
  }
  if (arguments.help || arguments.version) return arguments;
  for (const Flag* flag : given) {
    if (Takes(*flag, arguments.verb)) continue;
    std::vector<std::string> verbs = absl::StrSplit(flag->verbs, ' ', absl::SkipEmpty());
    return absl::InvalidArgumentError(absl::StrCat("--", flag->name, " has no meaning for `", arguments.verb,
                                                   "`\n  why: it belongs to ", absl::StrJoin(verbs, ", ")));
  }
  return arguments;
}

std::string HelpText(absl::string_view verb_name, int columns, bool needs_file) {
  const Verb* verb = FindVerb(verb_name);
  columns = std::min(columns, 100);
  std::string text;
  if (verb == nullptr) {
    text =
        absl::StrCat("Millrace trains language models as pipelines of cached stages.\n\n  millrace [VERB] ",
                     needs_file ? "FILE " : "", "[FLAGS]\n\n",
                     needs_file ? "FILE is a pipeline as Protobuf text (pipelines/schema has the vocabulary), or the "
                                  "name of one in pipelines/.\n\n"
                                : "",
                     "Verbs:\n");
    for (const Verb& one : Verbs()) {
      absl::StrAppend(&text, WrapText(absl::StrCat("  ", PadRight(one.name, 11), one.summary), columns, 11), "\n");
    }
    absl::StrAppend(&text, "\nFlags (`millrace VERB --help` has those of a verb):\n");
  } else {
    absl::string_view operands = verb->operands;
    if (!needs_file && (absl::ConsumePrefix(&operands, "FILE") || absl::ConsumePrefix(&operands, "[FILE]")))
      absl::ConsumePrefix(&operands, " ");
    text = absl::StrCat("millrace ", verb->name, operands.empty() ? "" : " ", operands, " [FLAGS]: ", verb->summary,
                        ".\n\n", verb->description, "\n\nFlags:\n");
  }
  text = WrapText(text, columns, 0);
  constexpr int kFlagColumns = 26;
  for (const Flag& flag : Flags()) {
    if (flag.help == nullptr || (verb != nullptr && !Takes(flag, verb->name))) continue;
    const std::string left = absl::StrCat("  --", flag.name, flag.value[0] == '\0' ? "" : "=", flag.value);
    // Beside the flag where there is room for both, else below it.
    const bool beside = columns >= 2 * kFlagColumns + 10;
    absl::StrAppend(&text, beside ? PadRight(left, kFlagColumns - 1) : left, beside ? " " : "\n");
    const int indent = beside ? kFlagColumns : 6;
    const std::string help = WrapText(flag.help, columns - indent, 0);
    absl::StrAppend(&text, beside ? "" : std::string(indent, ' '),
                    absl::StrReplaceAll(help, {{"\n", "\n" + std::string(indent, ' ')}}), "\n");
  }
  return text;
}

}  // namespace millrace
