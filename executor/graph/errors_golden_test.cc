// Every diagnostic of the loader, as a user sees it: testdata/errors/NAME.textproto and what it says, NAME.txt.
//
// Rewrite them with `UPDATE_GOLDENS=1 bazel run //executor/graph:errors_golden_test`, then review the diff.
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "executor/graph/load.h"
#include "executor/graph/load_test_options.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr char kFolder[] = "executor/graph/testdata/errors";

// The diagnostics, then whether the file can be used and what was not checked.
std::string Outcome(const std::string& text, const std::string& name) {
  const GoldenOptions options = ReadGoldenOptions(text, name, kFolder);
  Diagnostics diagnostics;
  std::string outcome;
  if (absl::EndsWith(name, ".cluster.textproto")) {
    const auto cluster = LoadCluster(text, name, "", diagnostics);
    EXPECT_EQ(cluster.ok(), !diagnostics.has_errors());
  } else {
    const auto pipeline = LoadPipeline(text, options.load, diagnostics);
    EXPECT_EQ(pipeline.ok(), !diagnostics.has_errors());
    if (pipeline.ok()) {
      if (options.runnable) CheckRunnable(*pipeline, diagnostics);
      for (const std::string& line : pipeline->unchecked) absl::StrAppend(&outcome, "unchecked: ", line, "\n");
    }
  }
  absl::StrAppend(&outcome, diagnostics.num_errors(), diagnostics.num_errors() == 1 ? " error\n" : " errors\n");
  std::string here = std::filesystem::absolute(".").string();
  if (absl::EndsWith(here, ".")) here.resize(here.size() - 1);
  return absl::StrReplaceAll(absl::StrCat(diagnostics.ToString(), outcome), {{here, "/.../"}});
}

TEST(ErrorsGolden, SayWhatWhereWhyAndHowToMendIt) {
  const auto files = ListFiles(kFolder);
  ASSERT_TRUE(files.ok()) << files.status();
  std::string update_folder;
  const bool update = UpdateGoldens(update_folder);
  int cases = 0;
  for (const std::string& file : *files) {
    if (!absl::EndsWith(file, ".textproto") || absl::StrContains(file, "/")) continue;
    const auto text = ReadFile(JoinPath(kFolder, file));
    ASSERT_TRUE(text.ok());
    const std::string outcome = Outcome(*text, file);
    const std::string golden_name = absl::StrCat(file.substr(0, file.size() - 10), ".txt");
    ++cases;
    if (update) {
      ASSERT_TRUE(WriteFileAtomic(JoinPath(update_folder, absl::StrCat("errors/", golden_name)), outcome).ok());
      continue;
    }
    const auto golden = ReadFile(JoinPath(kFolder, golden_name));
    EXPECT_EQ(outcome, golden.ok() ? *golden : "") << file << ": " << golden.status();
  }
  EXPECT_GT(cases, 30);
}

}  // namespace
}  // namespace millrace
