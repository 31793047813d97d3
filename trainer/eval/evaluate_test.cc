// The program `evaluate` as the executor starts it: a request file and constant paths.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "trainer/eval/testing.h"

namespace millrace::trainer {
namespace {

using Json = nlohmann::json;

// PARAMETERS is replaced.
constexpr char kRequest[] = R"({"kind": "evaluate", "seed": "42",
  "parameters": {"@type": "type.googleapis.com/millrace.Evaluate" PARAMETERS},
  "input": [{"name": "model", "path": "in/model", "artifact": "CHECKPOINT"},
            {"name": "tokenizer", "path": "in/tokenizer", "artifact": "TOKENIZER"},
            {"name": "likelihood.data", "path": "in/likelihood.data", "artifact": "SHARDS"}],
  "output": [{"name": "metrics", "path": "out/metrics", "artifact": "METRICS"}]})";

constexpr char kAll[] = R"(, "likelihood": {"gzipBaseline": true},
  "sample": [{"prompt": "once", "maxNewTokens": 12}, {"prompt": "你", "maxNewTokens": 5, "temperature": 0.8, "count": 2}])";

class EvaluateTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("evaluate");
    WriteByteTokenizer(folder_ + "/in/tokenizer");
    WriteTestHeldOut(folder_ + "/in/likelihood.data", documents_, kByteVocabulary);
    WriteTestCheckpoint(folder_ + "/in/model", RandomTestModel(kByteVocabulary, 16, 9));
  }

  // Returns the exit status.
  int RunEvaluate(const std::string& parameters, int threads = 1) {
    EXPECT_TRUE(RemoveTree(folder_ + "/out").ok());
    EXPECT_TRUE(RemoveTree(folder_ + "/events").ok());
    EXPECT_TRUE(CreateDirectories(folder_ + "/out/metrics").ok());
    const std::string request = absl::StrReplaceAll(kRequest, {{" PARAMETERS", parameters}});
    EXPECT_TRUE(WriteFile(folder_ + "/request.json", request).ok());
    EXPECT_TRUE(WriteFile(folder_ + "/gang.json", absl::StrCat("{\"threads\": ", threads, "}")).ok());
    const std::string command = absl::StrCat(
        "cd ", folder_, " && MILLRACE_REQUEST=request.json MILLRACE_GANG=gang.json MILLRACE_EVENTS=events ",
        std::getenv("PWD"), "/trainer/eval/evaluate 2>stderr");
    return WEXITSTATUS(std::system(command.c_str()));
  }
  std::string Output() { return *ReadFile(folder_ + "/out/metrics/metrics.json"); }
  std::string Stderr() { return *ReadFile(folder_ + "/stderr"); }

  std::string folder_;
  const std::vector<TestDocument> documents_ = {ByteDocument("the quick brown fox jumps over the lazy dog", 0),
                                                ByteDocument("pack my box with five dozen liquor jugs", 0),
                                                ByteDocument("天地玄黄,宇宙洪荒。", 1)};
};

TEST_F(EvaluateTest, MeasuresAndSamples) {
  ASSERT_EQ(RunEvaluate(kAll), 0) << Stderr();
  const std::string output = Output();
  const Json json = Json::parse(output);
  std::vector<std::string> names;
  for (const auto& [name, value] : json["metrics"].items()) names.push_back(name);
  std::vector<std::string> expected = {"bits_per_byte_over_gzip"};
  for (const char* name : {"bits_per_byte", "bytes", "documents", "gzip_bits_per_byte_concatenated",
                           "gzip_bits_per_byte_per_document", "loss", "perplexity", "tokens"}) {
    for (const char* suffix : {"", ".source_0", ".source_1"}) expected.push_back(absl::StrCat(name, suffix));
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names, expected);
  EXPECT_EQ(json["metrics"]["bytes"], 43 + 39 + 28);
  EXPECT_EQ(json["metrics"]["tokens"], 43 + 39 + 28 + 3);
  EXPECT_EQ(json["metrics"]["documents.source_0"], 2);
  EXPECT_NE(json["window"].get<std::string>().find("at most 16 predictions"), std::string::npos);
  ASSERT_EQ(json["samples"].size(), 3);
  EXPECT_EQ(json["samples"][2]["prompt"], "你");
  EXPECT_NE(json["samples"][1]["text"], json["samples"][2]["text"]);

  // The same figures are events; progress ends with all documents.
  int metrics = 0, examples = 0;
  double done = 0;
  for (const absl::string_view line : absl::StrSplit(*ReadFile(folder_ + "/events"), '\n', absl::SkipEmpty())) {
    const Json event = Json::parse(line.begin(), line.end());
    if (event.contains("progress")) done = event["progress"]["done"];
    if (event.contains("example")) ++examples;
    if (!event.contains("metric")) continue;
    EXPECT_EQ(event["metric"]["value"].get<double>(),
              json["metrics"][event["metric"]["name"].get<std::string>()].get<double>());
    EXPECT_FALSE(event["metric"].contains("step"));
    ++metrics;
  }
  EXPECT_EQ(metrics, expected.size());
  EXPECT_EQ(examples, 3);
  EXPECT_EQ(done, 3);

  for (int threads : {2, 4}) {
    ASSERT_EQ(RunEvaluate(kAll, threads), 0) << Stderr();
    EXPECT_EQ(Output(), output) << threads << " threads";
  }
}

TEST_F(EvaluateTest, UniformModel) {
  WriteTestCheckpoint(folder_ + "/in/model", UniformTestModel(kByteVocabulary, 16));
  ASSERT_EQ(RunEvaluate(""), 0) << Stderr();
  const Json metrics = Json::parse(Output())["metrics"];
  EXPECT_NEAR(metrics["loss"].get<double>(), std::log(257), 1e-6);
  EXPECT_NEAR(metrics["bits_per_byte"].get<double>(), std::log2(257) * 113 / 110, 1e-5);
  EXPECT_FALSE(metrics.contains("bits_per_byte_over_gzip"));
}

TEST_F(EvaluateTest, AFailedGateLeavesWholeOutputs) {
  EXPECT_EQ(RunEvaluate(R"(, "gate": [{"metric": "loss", "max": 0.5, "because": "it learned"}])"), 4);
  EXPECT_NE(Stderr().find("gate \"loss\" does not hold: "), std::string::npos) << Stderr();
  EXPECT_NE(Stderr().find("is above its max 0.5 (it learned"), std::string::npos) << Stderr();
  EXPECT_TRUE(Json::parse(Output())["metrics"].contains("loss"));
  EXPECT_EQ(RunEvaluate(R"(, "gate": [{"metric": "loss", "max": 50}])"), 0) << Stderr();
}

TEST_F(EvaluateTest, BadInputIsExitStatus2) {
  EXPECT_EQ(RunEvaluate(R"(, "gate": [{"metric": "los", "max": 0.5}])"), 2);
  EXPECT_NE(Stderr().find("metric: \"loss\""), std::string::npos) << Stderr();

  WriteTestCheckpoint(folder_ + "/in/model", UniformTestModel(200, 16));
  EXPECT_EQ(RunEvaluate(""), 2);
  EXPECT_NE(Stderr().find("the model's vocabulary has 200"), std::string::npos) << Stderr();

  ASSERT_TRUE(RemoveTree(folder_ + "/in/model/checkpoint.json").ok());
  EXPECT_EQ(RunEvaluate(""), 2);
  EXPECT_NE(Stderr().find("checkpoint.json"), std::string::npos) << Stderr();
}

}  // namespace
}  // namespace millrace::trainer
