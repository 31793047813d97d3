#include "executor/graph/load.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/schema/pipeline.pb.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kFolder[] = "executor/graph/testdata/keys";

LoadOptions Options() {
  LoadOptions options;
  options.file = "f.textproto";
  options.workspace = kFolder;
  return options;
}

ResolvedPipeline Load(const std::string& text, const LoadOptions& options = Options()) {
  Diagnostics diagnostics;
  auto pipeline = LoadPipeline(text, options, diagnostics);
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  return pipeline.ok() ? *std::move(pipeline) : ResolvedPipeline();
}

ResolvedPipeline LoadEveryKind(const std::vector<std::string>& set = {}) {
  LoadOptions options = Options();
  options.set = set;
  return Load(*ReadFile(JoinPath(kFolder, "every_kind.textproto")), options);
}

const ResolvedStage& StageOf(const ResolvedPipeline& pipeline, absl::string_view name) {
  return pipeline.stages[pipeline.FindStage(name)];
}

std::vector<std::string> Names(const ResolvedPipeline& pipeline) {
  std::vector<std::string> names;
  for (const ResolvedStage& stage : pipeline.stages) names.push_back(stage.name);
  return names;
}

TEST(Load, ResolvesEdges) {
  const ResolvedPipeline pipeline = LoadEveryKind();
  const auto edges = [&](absl::string_view name) {
    std::vector<std::string> shown;
    for (const StageEdge& edge : StageOf(pipeline, name).edges) {
      shown.push_back(absl::StrCat(edge.name, "=", pipeline.stages[edge.producer].name, ".", edge.output, " ",
                                   edge.number_path, edge.in_key ? "" : " not in key"));
    }
    return shown;
  };
  EXPECT_THAT(edges("unique"), ElementsAre("from.0=a.documents 1.0", "from.1=b.documents 1.1"));
  EXPECT_THAT(edges("ids"), ElementsAre("from.0=parts.documents 1.0", "tokenizer=bpe.tokenizer 2"));
  EXPECT_THAT(edges("mixed"),
              ElementsAre("component.0.from=shards.train 1.0.1", "component.1.from=shards.train 1.1.1"));
  EXPECT_THAT(edges("pretrain"), ElementsAre("data=mixed.mixture 1", "tokenizer=bpe.tokenizer 2",
                                             "validation.data=shards.held_out 13.1 not in key"));
  EXPECT_THAT(edges("quality"), ElementsAre("model=pretrain.checkpoint 1", "tokenizer=bpe.tokenizer 2",
                                            "likelihood.data=shards.held_out 3.1"));
}

TEST(Load, ParametersAreWhatProgramsGet) {
  const ResolvedPipeline pipeline = LoadEveryKind();
  EXPECT_EQ(StageOf(pipeline, "a").parameters->ShortDebugString(), "language: \"en\" take: \"6291456\"");
  EXPECT_EQ(StageOf(pipeline, "b").parameters->ShortDebugString(), "format: PLAIN_TEXT");  // its default is left out
  EXPECT_EQ(StageOf(pipeline, "unique").parameters->ShortDebugString(), "exact { } minhash { rows_per_band: 9 }");
  EXPECT_EQ(StageOf(pipeline, "shards").parameters->ShortDebugString(), "sequence_length: 64");
  EXPECT_EQ(StageOf(pipeline, "mixed").parameters->ShortDebugString(),
            "component { source: \"1\" weight: 0.25 } component { source: \"0\" weight: 0.75 }");
}

TEST(Load, FollowsSources) {
  const ResolvedPipeline pipeline = LoadEveryKind();
  for (const char* name : {"unique", "good", "parts", "ids", "shards", "mixed", "pretrain", "quality"})
    EXPECT_THAT(StageOf(pipeline, name).sources, ElementsAre("a", "b")) << name;
  EXPECT_THAT(StageOf(pipeline, "b").sources, ElementsAre("b"));
  EXPECT_THAT(StageOf(pipeline, "bpe").sources, IsEmpty());
}

TEST(Load, KnowsWhatEachStageUses) {
  const ResolvedPipeline pipeline = LoadEveryKind();
  const auto used = [&](bool ResolvedStage::*what) {
    std::vector<std::string> names;
    for (const ResolvedStage& stage : pipeline.stages) {
      if (stage.*what) names.push_back(stage.name);
    }
    return names;
  };
  EXPECT_THAT(used(&ResolvedStage::uses_seed), ElementsAre("a", "mixed", "pretrain", "quality"));
  EXPECT_THAT(used(&ResolvedStage::uses_floating_point), ElementsAre("pretrain", "quality"));
  EXPECT_FALSE(StageOf(LoadEveryKind({"quality.sample.Once.temperature=0"}), "quality").uses_seed);
  EXPECT_EQ(StageOf(pipeline, "pretrain").ranks, 2);
  EXPECT_EQ(StageOf(pipeline, "unique").ranks, 1);
  EXPECT_EQ(StageOf(pipeline, "unique").tool, "dedup");
}

TEST(Load, KnowsTheStepsOfTraining) {
  const auto steps = StageOf(LoadEveryKind(), "pretrain").train_steps;
  ASSERT_TRUE(steps.has_value());
  EXPECT_EQ(steps->total_steps, 98);
  EXPECT_EQ(steps->tokens_per_step, 8 * 64);
  ASSERT_EQ(steps->learning_rate.size(), 98);
  EXPECT_DOUBLE_EQ(steps->learning_rate[0], 4e-3 / 5);
  EXPECT_DOUBLE_EQ(steps->learning_rate[4], 4e-3);
  EXPECT_DOUBLE_EQ(steps->learning_rate[97], 4e-4);
}

TEST(Load, OrderIsTopologicalAndElseTheFiles) {
  const ResolvedPipeline pipeline = Load(R"(
    name: "p"
    stage { name: "last" filter { from: "c" from: "a" } }
    stage { name: "a" custom { command { argument: "true" } output { name: "d" type: DOCUMENTS } } }
    stage { name: "c" filter { from: "b" } }
    stage { name: "b" custom { command { argument: "true" } output { name: "d" type: DOCUMENTS } } })");
  EXPECT_THAT(Names(pipeline), ElementsAre("a", "b", "c", "last"));
  EXPECT_THAT(StageOf(pipeline, "last").sources, ElementsAre("b", "a"));  // depth-first over `from`
}

TEST(Load, CustomStages) {
  LoadOptions options = Options();
  ToolManifest manifest;
  manifest.tools["//my:tool"];
  options.manifest = &manifest;
  const ResolvedPipeline pipeline = Load(*ReadFile(JoinPath(kFolder, "custom.textproto")), options);
  const ResolvedStage& tool = StageOf(pipeline, "tool");
  EXPECT_EQ(tool.tool, "//my:tool");
  EXPECT_THAT(tool.command, IsEmpty());
  ASSERT_EQ(tool.external_inputs.size(), 1);
  EXPECT_EQ(tool.external_inputs[0].name, "file");
  ASSERT_EQ(tool.external_inputs[0].files.size(), 1);
  EXPECT_EQ(tool.external_inputs[0].files[0].relative_path, "tool_input.txt");
  EXPECT_EQ(tool.external_inputs[0].files[0].absolute_path[0], '/');
  ASSERT_EQ(tool.outputs.size(), 1);
  EXPECT_EQ(tool.outputs[0].name, "out");
  const ResolvedStage& command = StageOf(pipeline, "command");
  EXPECT_EQ(command.tool, "");
  EXPECT_EQ(command.command[0], "sh");
  ASSERT_EQ(command.edges.size(), 2);
  EXPECT_EQ(command.edges[0].name, "a");  // the input's own name
  ASSERT_EQ(command.outputs.size(), 2);
  EXPECT_EQ(command.outputs[1].artifact, DOCUMENTS);
}

TEST(Load, FilesComeByRelativePath) {
  LoadOptions options = Options();
  options.data_root["corpora"] = JoinPath(kFolder, "files");
  const char* const text = R"(
    name: "p"
    stage { name: "rooted" corpus { files { glob: "corpora://*.jsonl" glob: "corpora://**" exclude: "tok*" lock: "l" } } }
    stage { name: "unrooted" corpus { files { glob: "files/*.txt" } } }
    stage { name: "unknown" corpus { files { glob: "nas://*" } } })";
  const ResolvedPipeline pipeline = Load(text, options);
  const ExternalInput& rooted = StageOf(pipeline, "rooted").external_inputs[0];
  EXPECT_EQ(rooted.name, "files");
  ASSERT_EQ(rooted.files.size(), 2);
  EXPECT_EQ(rooted.files[0].relative_path, "a.jsonl");
  EXPECT_EQ(rooted.files[1].relative_path, "tool_input.txt");
  EXPECT_THAT(rooted.lock, HasSubstr("testdata/keys/l"));
  EXPECT_EQ(StageOf(pipeline, "unrooted").external_inputs[0].files[0].relative_path, "files/tool_input.txt");
  EXPECT_THAT(StageOf(pipeline, "unknown").external_inputs[0].unresolved, HasSubstr("--data-root=nas=DIR"));
  ASSERT_EQ(pipeline.unchecked.size(), 1);
  Diagnostics diagnostics;
  CheckRunnable(pipeline, diagnostics);
  EXPECT_EQ(diagnostics.num_errors(), 1);
}

TEST(Load, OriginsAreBaseProfileOrFlag) {
  LoadOptions options = Options();
  options.set = {"pretrain.beta1=0.8", "mixed.weight=1"};
  options.data_root["corpora"] = JoinPath(kFolder, "files");
  options.data_root["models"] = JoinPath(kFolder, "files");
  options.profile = "small";
  const ResolvedPipeline pipeline = Load(*ReadFile(JoinPath(kFolder, "full_size.textproto")), options);
  const ResolvedStage& train = StageOf(pipeline, "pretrain");
  const auto origin = [&](absl::string_view path) { return train.OriginOf(path).ToString(); };
  EXPECT_THAT(origin("optimizer.adamw.learning_rate"), HasSubstr("f.textproto:19:25"));
  EXPECT_THAT(origin("max_steps"), HasSubstr("f.textproto:29:36"));
  EXPECT_THAT(origin("model.num_hidden_layers"), HasSubstr("f.textproto:36:44"));
  EXPECT_THAT(origin("model.hidden_size"), HasSubstr("f.textproto:16:13"));  // the preset
  EXPECT_EQ(origin("optimizer.adamw.beta1"), "--set pretrain.beta1=0.8");
  EXPECT_EQ(pipeline.profile, "small");
  EXPECT_EQ(pipeline.seed, 3);
  EXPECT_EQ(pipeline.reproducibility.leaf_sequences(), 2);
  ASSERT_EQ(pipeline.expectations.size(), 1);
  EXPECT_EQ(pipeline.expectations[0].metric(), "loss");
  EXPECT_EQ(pipeline.FindStage("unused"), -1);  // no target needs it
}

TEST(Load, OnlyLeavesOutWhatIsNotNeeded) {
  LoadOptions options = Options();
  options.only = {"good", "given"};
  const ResolvedPipeline pipeline = Load(*ReadFile(JoinPath(kFolder, "every_kind.textproto")), options);
  EXPECT_THAT(Names(pipeline), ElementsAre("a", "b", "unique", "good", "given"));
}

TEST(Load, NamesProfiles) {
  EXPECT_THAT(ProfileNames(*ReadFile(JoinPath(kFolder, "presets.textproto"))), ElementsAre("full", "smaller", "small"));
  EXPECT_THAT(ProfileNames("profile { name: \"a\" "), IsEmpty());
  EXPECT_THAT(ProfileNames("name: \"x\""), IsEmpty());
}

// Whatever the text: either a pipeline, or errors, each with a place. Words of the file are moved about, so that most
// of what is tried is well-formed and wrong in its meaning.
TEST(Load, DamagedFilesAreReportedAndNothingElseHappens) {
  const std::string original =
      absl::StrCat(*ReadFile(JoinPath(kFolder, "every_kind.textproto")),
                   "default_profile: \"q\"\n"
                   "profile { name: \"p\" remove: \"good.rule.size\" target: \"quality\" }\n"
                   "profile { name: \"q\" extends: \"p\" expect { stage: \"shards.train\" metric: "
                   "\"m\" max: 1 } stage { name: \"b\" corpus { bundled: \"x\" } } }\n");
  const std::vector<std::string> words = absl::StrSplit(original, ' ');
  std::mt19937 random(5);
  int good = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> changed = words;
    for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
      const size_t at = random() % changed.size();
      switch (random() % 3) {
        case 0:
          changed[at] = words[random() % words.size()];
          break;
        case 1:
          changed.erase(changed.begin() + static_cast<ptrdiff_t>(at));
          break;
        default:
          changed.insert(changed.begin() + static_cast<ptrdiff_t>(at), words[random() % words.size()]);
      }
    }
    LoadOptions options = Options();
    if (round % 3 == 0) options.set = {"pretrain.max_steps=3"};
    if (round % 5 == 0) options.only = {"mixed"};
    Diagnostics diagnostics;
    const auto pipeline = LoadPipeline(absl::StrJoin(changed, " "), options, diagnostics);
    ASSERT_EQ(pipeline.ok(), !diagnostics.has_errors());
    good += pipeline.ok();
    for (const Diagnostic& diagnostic : diagnostics.Sorted()) {
      EXPECT_FALSE(diagnostic.what.empty());
      EXPECT_TRUE(diagnostic.location.line > 0 || absl::StartsWith(diagnostic.location.file, "--set") ||
                  absl::StartsWith(diagnostic.what, "--only"))
          << diagnostic.ToString();
    }
  }
  EXPECT_GT(good, 10);
}

TEST(LoadCluster, ChoosesByName) {
  const char* const text = R"(
    cluster { name: "a" pool { name: "p" memory: "1GiB" numerics: CPU_AVX512 } }
    cluster {
      name: "b"
      pool { name: "cpu" cpus: 4 }
      pool { name: "gpu" numerics: CUDA_SM89 accelerator { count: 1 memory: "24GiB" } }
    })";
  Diagnostics diagnostics;
  const auto a = LoadCluster(text, "c", "a", diagnostics);
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->pool(0).memory(), "1073741824");
  const auto b = LoadCluster(text, "c", "b", diagnostics);
  ASSERT_TRUE(b.ok());
  LoadOptions options = Options();
  options.cluster = *b;
  const ResolvedPipeline pipeline = Load("name: \"p\" stage { name: \"a\" corpus { bundled: \"x\" } }", options);
  EXPECT_EQ(pipeline.numerics, CUDA_SM89);  // of the pool that trains
  EXPECT_FALSE(LoadCluster(text, "c", "d", diagnostics).ok());
  EXPECT_THAT(diagnostics.ToString(), HasSubstr("no cluster is named \"d\""));
}

}  // namespace
}  // namespace millrace
