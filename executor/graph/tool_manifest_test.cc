#include "executor/graph/tool_manifest.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TEST(ToolManifest, ReadsToolsAndData) {
  const auto manifest = ToolManifest::Parse(R"({
    "tools": {"dedup": {"executable": "millrace/data/dedup/dedup",
                        "files": ["millrace/z.so", "millrace/data/dedup/dedup"]},
              "//my:tool": {"executable": "millrace/my/tool", "files": ["millrace/my/tool"]}},
    "data": {"tiny_en": {"label": "//pipelines/corpora:tiny_en",
                         "files": [{"path": "docs.jsonl", "runfile": "millrace/pipelines/corpora/tiny_en/docs.jsonl"}]}}
  })",
                                            "/run/files");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  const Tool& dedup = manifest->tools.at("dedup");
  EXPECT_EQ(dedup.executable, "millrace/data/dedup/dedup");
  ASSERT_EQ(dedup.files.size(), 2);
  EXPECT_EQ(dedup.files[0].logical_path, "millrace/data/dedup/dedup");
  EXPECT_EQ(dedup.files[0].absolute_path, "/run/files/millrace/data/dedup/dedup");
  EXPECT_EQ(dedup.files[1].logical_path, "millrace/z.so");
  EXPECT_EQ(manifest->tools.count("//my:tool"), 1);
  const BundledData& tiny = manifest->data.at("tiny_en");
  EXPECT_EQ(tiny.label, "//pipelines/corpora:tiny_en");
  ASSERT_EQ(tiny.files.size(), 1);
  EXPECT_EQ(tiny.files[0].logical_path, "docs.jsonl");
  EXPECT_EQ(tiny.files[0].absolute_path, "/run/files/millrace/pipelines/corpora/tiny_en/docs.jsonl");
}

struct BadCase {
  const char* json;
  const char* message;
};

TEST(ToolManifest, SaysWhatIsWrong) {
  const BadCase cases[] = {
      {"{", "is not JSON"},
      {"[]", "is not a JSON object"},
      {R"({"tool": {}})", "tool: is neither"},
      {R"({"tools": {"a": {"files": []}}})", R"(tools "a": has no "executable")"},
      {R"({"tools": {"a": {"executable": "x", "files": ["y"]}}})", "does not hold the executable \"x\""},
      {R"({"tools": {"a": {"executable": "/x", "files": ["/x"]}}})", "\"/x\" is absolute"},
      {R"({"tools": {"a": {"executable": "b/../../x", "files": ["b/../../x"]}}})", "leaves the runfiles root"},
      {R"({"tools": {"a": {"executable": "x", "files": ["x", "x"]}}})", "\"x\" is there twice"},
      {R"({"data": {"d": {"label": "//d", "files": ["x"]}}})", R"(data "d": a file is not an object)"},
      {R"({"data": {"d": {"label": 3, "files": []}}})", R"("label" is not a string)"},
  };
  for (const BadCase& c : cases) {
    const auto manifest = ToolManifest::Parse(c.json, "/r");
    EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument) << c.json;
    EXPECT_THAT(std::string(manifest.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace millrace
