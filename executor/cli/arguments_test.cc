#include "executor/cli/arguments.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

TEST(ArgumentsTest, VerbsOperandsAndFlags) {
  const Arguments bare = ParseArguments({"p.textproto"}).value();
  EXPECT_EQ(bare.verb, "run");
  EXPECT_FALSE(bare.verb_given);
  EXPECT_EQ(bare.operands, (std::vector<std::string>{"p.textproto"}));

  const Arguments plan =
      ParseArguments({"--pipeline=p", "--manifest=m", "--runfiles=r", "plan", "--profile", "full", "--set=a.b=1",
                      "--set", "c=2", "--cluster=f:n", "--data-root=corpora=/mnt/a=b", "--only=x", "--format=json"})
          .value();
  EXPECT_EQ(plan.verb, "plan");
  EXPECT_EQ(plan.pipeline, "p");
  EXPECT_EQ(plan.profile, "full");
  EXPECT_EQ(plan.set, (std::vector<std::string>{"a.b=1", "c=2"}));
  EXPECT_EQ(plan.cluster, (std::vector<std::string>{"f:n"}));
  EXPECT_EQ(plan.data_root[0].first, "corpora");
  EXPECT_EQ(plan.data_root[0].second, "/mnt/a=b");
  EXPECT_TRUE(plan.json);
  EXPECT_EQ(plan.flags, (std::vector<std::string>{"--profile=full", "--set=a.b=1", "--set=c=2", "--cluster=f:n",
                                                  "--data-root=corpora=/mnt/a=b", "--only=x", "--format=json"}))
      << "without those of the launcher";

  EXPECT_EQ(ParseArguments({"explain", "p.textproto", "plan"}).value().operands,
            (std::vector<std::string>{"p.textproto", "plan"}))
      << "only the first word can be a verb";
  EXPECT_EQ(ParseArguments({"show", "--", "--odd"}).value().operands, (std::vector<std::string>{"--odd"}));
  EXPECT_EQ(ParseArguments({"gc", "--max-size=1GiB", "--max-age=2d"}).value().max_size_bytes, 1 << 30);
}

TEST(ArgumentsTest, ErrorsSayWhatToDo) {
  struct Row {
    std::vector<std::string> words;
    const char* message;
  };
  for (const Row& row : {
           Row{{"run", "--profle=x"}, "there is no flag \"--profle\"\n  fix: --profile"},
           Row{{"run", "--xyzzy"}, "there is no flag \"--xyzzy\"\n  fix: `--help` lists them"},
           Row{{"run", "--profile"}, "--profile needs a value\n  fix: --profile=NAME"},
           Row{{"run", "--locked=yes"}, "--locked takes no value\n  fix: --locked"},
           Row{{"run", "--jobs=none"}, "--jobs: \"none\" is not a whole number of at least 1"},
           Row{{"run", "--jobs=0"}, "--jobs: \"0\" is not a whole number of at least 1"},
           Row{{"run", "--follow"}, "--follow has no meaning for `run`\n  why: it belongs to logs"},
           Row{{"plan", "--format=xml"}, "--format: \"xml\": accepted: text, json"},
           Row{{"run", "--data-root=corpora"}, "--data-root: \"corpora\" is not NAME=DIR"},
           Row{{"run", "-j4"}, "\"-j4\": flags begin with two dashes\n  fix: --jobs=N"},
       }) {
    const absl::StatusOr<Arguments> arguments = ParseArguments(row.words);
    ASSERT_FALSE(arguments.ok()) << row.message;
    EXPECT_EQ(arguments.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(arguments.status().message(), row.message);
  }
}

TEST(ArgumentsTest, HelpForEachVerb) {
  EXPECT_TRUE(ParseArguments({"--help"}).value().help);
  EXPECT_TRUE(ParseArguments({"help"}).value().help);
  EXPECT_TRUE(ParseArguments({"plan", "-h"}).value().help);
  const std::string all = HelpText("");
  for (const std::string& verb : VerbNames()) {
    EXPECT_TRUE(absl::StrContains(all, "\n  " + verb)) << verb;
    const std::string help = HelpText(verb);
    EXPECT_TRUE(absl::StartsWith(help, "millrace " + verb)) << help;
    for (const int columns : {100, 80, 40}) {
      for (absl::string_view line : absl::StrSplit(HelpText(verb, columns), '\n'))
        EXPECT_LE(line.size(), columns) << line;
    }
  }
  EXPECT_TRUE(absl::StartsWith(HelpText("run", 100, false), "millrace run [FLAGS]: "));
  EXPECT_TRUE(absl::StartsWith(HelpText("explain", 100, false), "millrace explain STAGE [FLAGS]: "));
  EXPECT_TRUE(absl::StrContains(HelpText("logs"), "--follow"));
  EXPECT_FALSE(absl::StrContains(HelpText("plan"), "--follow"));
  EXPECT_FALSE(absl::StrContains(all, "--runfiles")) << "the launcher's flags are not for people";
}

}  // namespace
}  // namespace millrace
