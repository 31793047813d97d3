// Golden keys: testdata/keys/NAME.textproto and, in NAME.txt, the key of each stage with all of its components. A
// change here throws everybody's cache away: it is either a mistake, or needs a new semantics version.
//
// testdata/resolved: the merged text with presets expanded (ResolvedPipeline::text), which reads back to the same keys.
//
// Rewrite them with `UPDATE_GOLDENS=1 bazel run //executor/graph:keys_golden_test`, then review the diff.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "executor/graph/fake_key_inputs.h"
#include "executor/graph/load.h"
#include "executor/graph/load_test_options.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr char kFolder[] = "executor/graph/testdata/keys";

std::string Shown(const ResolvedPipeline& pipeline, const FakeKeys& keys) {
  std::string text;
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    absl::StrAppend(&text, pipeline.stages[i].name, " ", keys.keys[i], "\n  recipe ",
                    HexOf(RecipeOf(pipeline, static_cast<int>(i))), "\n");
    for (const KeyComponent& component : keys.records[i].component()) {
      absl::StrAppend(&text, "  ", component.number_path(), " ", component.path(), " = ", component.value(),
                      component.has_canonical() ? "" : " (recorded only)", "\n");
    }
  }
  return text;
}

void Compare(const std::string& actual, const std::string& relative) {
  std::string update_folder;
  if (UpdateGoldens(update_folder)) {
    ASSERT_TRUE(WriteFileAtomic(JoinPath(update_folder, relative), actual).ok());
    return;
  }
  const auto golden = ReadFile(JoinPath("executor/graph/testdata", relative));
  EXPECT_EQ(actual, golden.ok() ? *golden : "") << relative << ": " << golden.status();
}

TEST(KeysGolden, StayWhatTheyAre) {
  const auto files = ListFiles(kFolder);
  ASSERT_TRUE(files.ok()) << files.status();
  int cases = 0;
  for (const std::string& file : *files) {
    if (!absl::EndsWith(file, ".textproto")) continue;
    const auto text = ReadFile(JoinPath(kFolder, file));
    ASSERT_TRUE(text.ok());
    GoldenOptions options = ReadGoldenOptions(*text, file, kFolder);
    Diagnostics diagnostics;
    const auto pipeline = LoadPipeline(*text, options.load, diagnostics);
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    const FakeKeys keys = ComputeFakeKeys(*pipeline);
    const std::string base = file.substr(0, file.size() - 10);
    Compare(Shown(*pipeline, keys), absl::StrCat("keys/", base, ".txt"));
    Compare(pipeline->text, absl::StrCat("resolved/", base, ".textproto"));
    ++cases;

    options.load.profile.clear();
    options.load.set.clear();
    options.load.only.clear();
    const auto again = LoadPipeline(pipeline->text, options.load, diagnostics);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ComputeFakeKeys(*again).keys, keys.keys) << file;
    EXPECT_EQ(again->text, pipeline->text) << file;
  }
  EXPECT_GE(cases, 5);
}

}  // namespace
}  // namespace millrace
