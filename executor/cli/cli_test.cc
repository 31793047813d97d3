// The program as users run it, in a folder of its own: output, files and exit statuses.
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace millrace {
namespace {

// Two commands, one behind the other; `scale` is in the key of the second.
constexpr char kPipeline[] = R"(name: "words"
default_profile: "small"
stage {
  name: "text"
  custom { command { argument: "sh" argument: "-c" argument: "echo one two three > $MILLRACE_OUTPUT_OUT/t.txt" } }
}
stage {
  name: "count"
  custom {
    input { name: "text" from: "text" }
    command {
      argument: "sh" argument: "-c"
      argument: "echo counting; wc -w < $MILLRACE_INPUT_TEXT/t.txt > $MILLRACE_OUTPUT_OUT/n.txt; echo '{\"metric\":{\"name\":\"words\",\"value\":3}}' >> $MILLRACE_EVENTS"
    }
    parameter { name: "scale" value: "1" }
  }
}
profile { name: "small" expect { stage: "count" metric: "words" golden: 3 } }
profile { name: "wrong" expect { stage: "count" metric: "words" golden: 5 tolerance: 1 }  expect { stage: "text" digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000" } }
profile {
  name: "broken"
  stage { name: "count" execution { attempts: 1 } custom { command { argument: "sh" argument: "-c" argument: "echo about to break; exit 7" } } }
}
)";

struct Ran {
  int exit_status = -1;
  std::string out, err;
};

class CliTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char* here = ::realpath("executor/cli/millrace", nullptr);
    ASSERT_NE(here, nullptr);
    program_ = here;
    ::free(here);
    folder_ = MakeTempDirectory("cli").value();
    ASSERT_TRUE(WriteFile(folder_ + "/words.textproto", kPipeline).ok());
  }

  // In the test's folder, with its home.
  Ran Run(const std::string& arguments, bool with_home = true) {
    const std::string command = absl::StrCat(
        "cd ", folder_, " && env -u BUILD_WORKSPACE_DIRECTORY -u BUILD_WORKING_DIRECTORY ", "LC_ALL=C.UTF-8 ", program_,
        " ", arguments, with_home ? " --home=home" : "", " > out.txt 2> err.txt");
    Ran ran;
    const int status = std::system(command.c_str());
    ran.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ran.out = ReadFile(folder_ + "/out.txt").value();
    ran.err = ReadFile(folder_ + "/err.txt").value();
    return ran;
  }

  std::string Content(const std::string& path) { return ReadFile(JoinPath(folder_, path)).value_or("(none)"); }

  std::string program_, folder_;
};

#define EXPECT_HAS(text, part) EXPECT_TRUE(absl::StrContains(text, part)) << text
#define ASSERT_HAS(text, part) ASSERT_TRUE(absl::StrContains(text, part)) << text

TEST_F(CliTest, RunsThenHasNothingToDo) {
  const Ran first = Run("words.textproto");
  EXPECT_EQ(first.exit_status, 0) << first.err;
  EXPECT_HAS(first.out, "2 stages ran, 0 cached, ");
  EXPECT_HAS(first.out, "report: millrace-out/words/report.html");
  EXPECT_HAS(first.out, "\nNext: ");
  EXPECT_HAS(first.out, " explain words.textproto count --home=home   (with --set PATH=VALUE");
  EXPECT_HAS(first.err, "words, profile small (the file's default): 2 stages\nIts other profiles: wrong, broken (");
  EXPECT_HAS(first.err, "done    count");
  EXPECT_EQ(Content("millrace-out/words/count/n.txt"), "3\n");
  EXPECT_HAS(Content("millrace-out/words/report.html"), "<h1>words</h1>");

  const Ran second = Run("run words.textproto");
  EXPECT_EQ(second.exit_status, 0);
  EXPECT_HAS(second.out, "words, profile small (the file's default): 2 of 2 cached, nothing to do (");
  EXPECT_EQ(second.err, "") << "nothing ran, nothing is said";

  const Ran again = Run("run words.textproto --force=text --force=count");
  EXPECT_HAS(again.err, "words, profile small (the file's default): 2 stages. About 1 s.\n")
      << "as long as the last time";

  const Ran json = Run("run words.textproto --format=json");
  const auto parsed = nlohmann::json::parse(json.out);
  EXPECT_EQ(parsed["exit_status"], 0);
  EXPECT_EQ(parsed["stages"][1]["state"], "cached");
  EXPECT_EQ(parsed["stages"][1]["metrics"]["words"], 3);
}

TEST_F(CliTest, PlanAndExplainSayWhatChangedBeforeAnythingRuns) {
  auto plan = nlohmann::json::parse(Run("plan words.textproto --format=json").out);
  EXPECT_EQ(plan["stages"][0]["status"], "run");
  EXPECT_EQ(plan["stages"][1]["status"], "blocked");
  EXPECT_TRUE(plan["stages"][1]["key"].is_null());
  ASSERT_EQ(Run("words.textproto").exit_status, 0);
  plan = nlohmann::json::parse(Run("plan words.textproto --format=json").out);
  EXPECT_EQ(plan["stages"][1]["status"], "cached");
  EXPECT_TRUE(plan["stages"][1]["actions"].is_array());
  EXPECT_HAS(Run("plan words.textproto").out, "2 cached (");

  ASSERT_TRUE(
      WriteFile(folder_ + "/other.textproto", absl::StrReplaceAll(kPipeline, {{"value: \"1\"", "value: \"2\""}})).ok());
  const Ran explain = Run("explain other.textproto count");
  EXPECT_EQ(explain.exit_status, 0) << explain.err;
  EXPECT_HAS(explain.out, "count would RUN");
  EXPECT_HAS(explain.out, "1 -> 2");
  const auto json = nlohmann::json::parse(Run("explain other.textproto count --format=json").out);
  EXPECT_EQ(json["changed"].size(), 1);
  EXPECT_EQ(json["changed"][0]["before"], "1");
  EXPECT_EQ(json["changed"][0]["after"], "2");
  EXPECT_HAS(Run("explain words.textproto count").out, "count is CACHED");
  EXPECT_EQ(Run("explain words.textproto cuont").exit_status, 2);
  EXPECT_HAS(Run("explain words.textproto cuont").err, "fix: count");
}

TEST_F(CliTest, PastRunsCanBeLookedInto) {
  ASSERT_EQ(Run("words.textproto").exit_status, 0);
  EXPECT_HAS(Run("status").out, "complete");
  EXPECT_EQ(Run("logs count").out, "counting\n");
  EXPECT_HAS(Run("show count").out, "  | 3\n");
  EXPECT_HAS(Run("show count.out").out, "sha256:");
  EXPECT_EQ(Run("show count.zzz").exit_status, 2);
  EXPECT_EQ(Run("report --output=r.html").out, "r.html\n");
  EXPECT_HAS(Content("r.html"), "</html>");
  EXPECT_EQ(nlohmann::json::parse(Run("status --format=json").out)["stages"].size(), 2);
  EXPECT_EQ(Run("status --run=nothing").exit_status, 2);
  EXPECT_HAS(Run("gc --dry-run").out, "would be freed");
  const Ran collected = Run("gc --max-size=0 --max-age=0s --format=json");
  EXPECT_EQ(collected.exit_status, 0);
  EXPECT_EQ(nlohmann::json::parse(collected.out)["runs_removed"], 0);  // the pipeline's last one
  EXPECT_EQ(Run("words.textproto").exit_status, 0);
}

TEST_F(CliTest, ALogIsFoundByTheNameThatTheStageHadOrHas) {
  ASSERT_EQ(Run("words.textproto").exit_status, 0);
  ASSERT_TRUE(WriteFile(folder_ + "/words.textproto",
                        absl::StrReplaceAll(kPipeline, {{"name: \"count\"", "name: \"number\""},
                                                        {"stage: \"count\"", "stage: \"number\""}}))
                  .ok());
  ASSERT_HAS(Run("words.textproto").out, "2 of 2 cached, nothing to do");
  const Ran now = Run("logs number");
  EXPECT_EQ(now.out, "counting\n");
  EXPECT_HAS(now.err, "where it was called \"count\"");
  const Ran before = Run("logs words.textproto count");
  EXPECT_EQ(before.exit_status, 0);
  EXPECT_EQ(before.out, "counting\n");
  EXPECT_HAS(before.err, "has no stage \"count\" (it is \"number\" there); this is from run ");
  EXPECT_HAS(Run("show count").out, "  | 3\n");
  EXPECT_HAS(Run("logs cuont").err, "has no stage \"cuont\"\n  fix: ");
  EXPECT_HAS(Run("logs text").err, "\"text\" wrote nothing to its log");
  EXPECT_HAS(Run("logs number --rank=3").err, "why: it has 1 process, counted from 0");
}

TEST_F(CliTest, FollowingAKilledRunEnds) {
  const std::string slow = R"(name: "slow"
stage { name: "wait" custom { command { argument: "sh" argument: "-c" argument: "echo waiting; touch HERE/begun; sleep 100" } } }
)";
  ASSERT_TRUE(WriteFile(folder_ + "/slow.textproto", absl::StrReplaceAll(slow, {{"HERE", folder_}})).ok());
  const std::string script = absl::StrCat("cd ", folder_, "; env -u BUILD_WORKSPACE_DIRECTORY ", program_,
                                          " run slow.textproto --home=home > /dev/null 2>&1 & run=$!; while ! test -e ",
                                          folder_, "/begun; do sleep 0.05; done; sleep 0.6; ", program_,
                                          " status --home=", folder_, "/home > ", folder_, "/going.txt; kill -9 $run");
  ASSERT_EQ(std::system(script.c_str()), 0);
  EXPECT_HAS(Content("going.txt"), "goes on");
  const Ran followed = Run("logs wait --follow");
  EXPECT_EQ(followed.out, "waiting\n");
  EXPECT_HAS(followed.err, "was killed before \"wait\" had ended");
  EXPECT_HAS(Run("status").out, "was killed");
}

TEST_F(CliTest, AFailureShowsItsLogAndHowToRunItAgain) {
  const Ran failed = Run("words.textproto --profile=broken");
  EXPECT_EQ(failed.exit_status, 1);
  EXPECT_HAS(failed.err, "FAILED  count");
  EXPECT_HAS(failed.err, "| about to break");
  EXPECT_HAS(failed.err, "/stages/count/rank0.attempt1.log");
  EXPECT_HAS(failed.err, "run words.textproto --profile=broken --home=home --only=count\n");
  EXPECT_HAS(failed.out, "1 failed");
  EXPECT_HAS(Content("millrace-out/words/report.html"), "What failed");
  EXPECT_EQ(Run("words.textproto --profile=broken --progress=quiet").exit_status, 1);
}

TEST_F(CliTest, IsInterruptedWhileItReadsInputs) {
  ASSERT_TRUE(WriteFile(folder_ + "/huge.textproto", R"(name: "huge"
stage { name: "a" custom { input { name: "huge" file: "huge" } command { argument: "true" } } }
)")
                  .ok());
  // It would be read for minutes.
  ASSERT_TRUE(WriteFile(folder_ + "/huge", "").ok());
  ASSERT_EQ(::truncate((folder_ + "/huge").c_str(), int64_t{1} << 40), 0);
  program_ = "timeout --preserve-status --signal=INT 1 " + program_;
  const Ran ran = Run("huge.textproto");
  EXPECT_EQ(ran.exit_status, 130) << ran.err;
}

TEST_F(CliTest, Expectations) {
  EXPECT_EQ(Run("expect words.textproto").exit_status, 0);
  const Ran wrong = Run("expect words.textproto --profile=wrong");
  EXPECT_EQ(wrong.exit_status, 4);
  EXPECT_HAS(wrong.out, "DOES NOT  count words: 3, expected 5 within 1");
  EXPECT_HAS(wrong.out, "0 of 2 expectations hold.");
  const Ran updated = Run("expect words.textproto --profile=wrong --update");
  EXPECT_EQ(updated.exit_status, 0) << updated.err;
  EXPECT_HAS(updated.out, "golden: 3 tolerance: 1 }");
  EXPECT_EQ(Run("expect words.textproto --profile=wrong").exit_status, 0);
  EXPECT_HAS(Content("words.textproto"),
             "profile { name: \"small\" expect { stage: \"count\" metric: \"words\" golden: 3 } }");
}

TEST_F(CliTest, Reproduce) {
  const Ran same = Run("reproduce words.textproto");
  EXPECT_EQ(same.exit_status, 0) << same.err;
  EXPECT_HAS(same.out, "2 outputs of 2 stages are the same, bit for bit");
  const std::string random = absl::StrReplaceAll(kPipeline, {{"echo one two three", "date +%N"}});
  ASSERT_TRUE(WriteFile(folder_ + "/random.textproto", random).ok());
  const Ran different = Run("reproduce random.textproto");
  EXPECT_EQ(different.exit_status, 4);
  EXPECT_HAS(different.out, "DIFFERENT  text.out");
}

TEST_F(CliTest, BadInputIsRefusedWithAPlace) {
  ASSERT_TRUE(WriteFile(folder_ + "/bad.textproto", "name: \"bad\"\nstage { name: \"a\" custmo {} }\n").ok());
  const Ran bad = Run("check bad.textproto");
  EXPECT_EQ(bad.exit_status, 2);
  EXPECT_HAS(bad.err, "bad.textproto:2:");
  EXPECT_HAS(bad.err, "nothing was run or written.");
  EXPECT_EQ(Run("run bad.textproto").exit_status, 2);
  EXPECT_FALSE(IsDirectory(folder_ + "/home"));
  const auto json = nlohmann::json::parse(Run("check bad.textproto --format=json").out);
  EXPECT_EQ(json["errors"][0]["line"], 2);

  EXPECT_HAS(Run("check words.textproto").out, "words, profile broken: 2 stages, good");
  EXPECT_HAS(Run("plna words.textproto").err, "fix: plan");
  EXPECT_EQ(Run("plna words.textproto").exit_status, 2);
  EXPECT_HAS(Run("run word.textproto").err, "fix: words.textproto");
  EXPECT_EQ(Run("run words.textproto --profle=small").exit_status, 2);
  EXPECT_HAS(Run("run words.textproto --force=cuont").err, "fix: --force=count");
  EXPECT_EQ(Run("run", false).exit_status, 2);
  EXPECT_EQ(Run("--help", false).exit_status, 0);
  EXPECT_HAS(Run("--version", false).out, "millrace ");
}

}  // namespace
}  // namespace millrace
