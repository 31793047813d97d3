#include "executor/graph/action_key.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "executor/graph/fake_key_inputs.h"
#include "executor/graph/load.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/schema/train.pb.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Replacements = std::vector<std::pair<std::string, std::string>>;

class KeyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    workspace_ = MakeWorkspace();
    text_ = *ReadFile("executor/graph/testdata/keys/every_kind.textproto");
  }

  static std::string MakeWorkspace() {
    const std::string folder = *MakeTempDirectory("keys");
    EXPECT_TRUE(CreateDirectories(JoinPath(folder, "files")).ok());
    EXPECT_TRUE(WriteFile(JoinPath(folder, "files/a.jsonl"), "{\"text\":\"one\"}\n").ok());
    EXPECT_TRUE(
        WriteFile(JoinPath(folder, "files/tokenizer.json"), "{\"model\":{\"vocab\":{\"a\":0}},\"added_tokens\":[]}")
            .ok());
    return folder;
  }

  ResolvedPipeline Load(const std::string& text, const std::vector<std::string>& set = {},
                        const std::string& workspace = "") {
    LoadOptions options;
    options.file = "f.textproto";
    options.workspace = workspace.empty() ? workspace_ : workspace;
    options.set = set;
    Diagnostics diagnostics;
    auto pipeline = LoadPipeline(text, options, diagnostics);
    EXPECT_TRUE(pipeline.ok()) << pipeline.status();
    return pipeline.ok() ? *std::move(pipeline) : ResolvedPipeline();
  }

  std::map<std::string, std::string> Keys(const std::string& text, const std::vector<std::string>& set = {}) {
    return ComputeFakeKeys(Load(text, set)).named;
  }

  // The text with each first string replaced by the second; the first is there.
  std::string Edited(const Replacements& replacements) {
    for (const auto& [from, to] : replacements) EXPECT_NE(text_.find(from), std::string::npos) << from;
    return absl::StrReplaceAll(text_, replacements);
  }

  // Names of the stages whose keys differ.
  std::vector<std::string> Changed(const std::map<std::string, std::string>& before,
                                   const std::map<std::string, std::string>& after) {
    std::vector<std::string> changed;
    for (const auto& [name, key] : before) {
      if (after.count(name) == 0 || after.at(name) != key) changed.push_back(name);
    }
    return changed;
  }

  std::string workspace_;
  std::string text_;
};

TEST_F(KeyTest, RenamingStagesChangesNothing) {
  const auto before = Keys(text_);
  const auto after = Keys(Edited({{"\"unique\"", "\"once\""},
                                  {"\"shards\"", "\"pieces\""},
                                  {"\"shards.held_out\"", "\"pieces.held_out\""},
                                  {"\"a\"", "\"english\""},
                                  {"\"every_kind\"", "\"another\""}}));
  EXPECT_EQ(after.at("once"), before.at("unique"));
  EXPECT_EQ(after.at("english"), before.at("a"));
  for (const char* name : {"b", "good", "parts", "bpe", "given", "ids", "mixed", "pretrain", "quality"})
    EXPECT_EQ(after.at(name), before.at(name)) << name;
}

TEST_F(KeyTest, WhatIsWrittenAnotherWayChangesNothing) {
  const auto before = Keys(text_);
  const auto after = Keys(Edited({
      {"max_tokens: \"50k\"", "max_tokens: \"0.05M\""},                           // a unit
      {"take: \"6MiB\" language: \"en\"", "language: \"en\" take: \"6291456\""},  // the order of fields
      {"bands: 14", "bands: 0xE verify: true"},                                   // defaults
      {"learning_rate: 4e-3", "learning_rate: 0.004 beta1: 0.9"},                 // numbers
      {"num_attention_heads: 2", "num_attention_heads: 2 num_key_value_heads: 2"},
  }));
  EXPECT_THAT(Changed(before, after), IsEmpty());
}

TEST_F(KeyTest, AnotherOrderOfStagesChangesNothing) {
  const auto before = Keys(text_);
  const size_t b = text_.find("stage { name: \"b\"");
  const size_t unique = text_.find("stage { name: \"unique\"");
  const std::string moved = text_.substr(0, b) + text_.substr(unique) + text_.substr(b, unique - b);
  EXPECT_THAT(Changed(before, Keys(moved)), IsEmpty());
}

TEST_F(KeyTest, AnotherPlaceChangesNothing) {
  const auto before = ComputeFakeKeys(Load(text_)).named;
  const auto after = ComputeFakeKeys(Load(text_, {}, MakeWorkspace())).named;
  EXPECT_THAT(Changed(before, after), IsEmpty());
}

TEST_F(KeyTest, WhatCanChangeNothingIsNotInIt) {
  const auto before = Keys(text_);
  const char* const sets[] = {"pretrain.data_parallel_size=1",
                              "pretrain.zero_stage=3",
                              "pretrain.micro_batch_size=8",
                              "pretrain.recompute=FULL",
                              "pretrain.checkpoint.every=1h",
                              "pretrain.validation.every_steps=1",
                              "pretrain.validation={}",
                              "pretrain.validation.data=shards",
                              "pretrain.logging.every_steps=3",
                              "pretrain.attempts=5",
                              "pretrain.threads_per_rank=2",
                              "pretrain.description=x",
                              "quality.gate.bits_per_byte.because=it must",
                              "a.files.lock=x.lock"};
  for (const char* set : sets) EXPECT_THAT(Changed(before, Keys(text_, {set})), IsEmpty()) << set;
}

struct ChangeCase {
  const char* set;
  std::vector<std::string> changed;
};

TEST_F(KeyTest, WhatChangesAResultChangesWhatFollows) {
  const auto before = Keys(text_);
  const ChangeCase cases[] = {
      {"pretrain.learning_rate=3e-3", {"pretrain", "quality"}},
      {"pretrain.max_tokens=60k", {"pretrain", "quality"}},
      {"pretrain.precision=BF16", {"pretrain", "quality"}},
      {"pretrain.loss_chunk_tokens=256", {"pretrain", "quality"}},
      {"reproducibility.leaf_sequences=2", {"pretrain", "quality"}},
      {"reproducibility.gradient_sum=FLOAT32", {"pretrain", "quality"}},
      {"quality.gate.bits_per_byte.max=7", {"quality"}},
      {"shards.sequence_length=32", {"mixed", "pretrain", "quality", "shards"}},
      {"seed=8", {"a", "bpe", "good", "ids", "mixed", "parts", "pretrain", "quality", "shards", "unique"}},
      {"a.language=de", {"a", "bpe", "good", "ids", "mixed", "parts", "pretrain", "quality", "shards", "unique"}},
      {"unique.minhash.bands=20", {"bpe", "good", "ids", "mixed", "parts", "pretrain", "quality", "shards", "unique"}},
  };
  for (const ChangeCase& c : cases) EXPECT_EQ(Changed(before, Keys(text_, {c.set})), c.changed) << c.set;
}

TEST_F(KeyTest, ContentOfFilesIsInIt) {
  const auto before = Keys(text_);
  ASSERT_TRUE(WriteFile(JoinPath(workspace_, "files/a.jsonl"), "{\"text\":\"two\"}\n").ok());
  const std::vector<std::string> changed = Changed(before, Keys(text_));
  EXPECT_THAT(changed,
              ElementsAre("a", "b", "bpe", "good", "ids", "mixed", "parts", "pretrain", "quality", "shards", "unique"));
}

TEST_F(KeyTest, StatisticalLeavesRoundingOut) {
  const std::vector<std::string> statistical = {"reproducibility.level=STATISTICAL"};
  const auto before = Keys(text_, statistical);
  for (const char* set :
       {"reproducibility.leaf_sequences=2", "reproducibility.gradient_sum=FLOAT32", "pretrain.loss_chunk_tokens=256"}) {
    EXPECT_THAT(Changed(before, Keys(text_, {statistical[0], set})), IsEmpty()) << set;
  }
  const std::string recorded = [&] {
    std::string text;
    const ResolvedPipeline pipeline = Load(text_, statistical);
    const FakeKeys keys = ComputeFakeKeys(pipeline);
    for (const KeyComponent& component : keys.records[pipeline.FindStage("pretrain")].component())
      absl::StrAppend(&text, component.path(), component.has_canonical() ? "" : "?", " ");
    return text;
  }();
  EXPECT_THAT(recorded, HasSubstr("numerics? "));
  EXPECT_THAT(recorded, HasSubstr("leaf_sequences? "));
  EXPECT_THAT(recorded, HasSubstr("loss_chunk_tokens? "));
  EXPECT_THAT(recorded, HasSubstr("global_batch_size "));
}

TEST_F(KeyTest, ChainsShareWhatDecidesOnlyWhichStepsThereAre) {
  const auto chain = [&](const std::vector<std::string>& set) {
    const ResolvedPipeline pipeline = Load(text_, set);
    const int index = pipeline.FindStage("pretrain");
    const auto record = MakeChainKeyRecord(pipeline, pipeline.stages[index], ComputeFakeKeys(pipeline).inputs[index]);
    EXPECT_TRUE(record.ok());
    return HexOf(KeyOf(*record));
  };
  const std::string before = chain({});
  EXPECT_NE(before, ComputeFakeKeys(Load(text_)).named.at("pretrain"));
  for (const char* set : {"pretrain.max_tokens=60k", "pretrain.max_steps=7", "pretrain.learning_rate=1e-3",
                          "pretrain.warmup_steps=1", "pretrain.schedule.cosine={}"}) {
    EXPECT_EQ(chain({set}), before) << set;
  }
  for (const char* set : {"pretrain.beta1=0.8", "pretrain.global_batch_size=16", "pretrain.max_grad_norm=2",
                          "pretrain.initializer_range=0.02", "seed=8"}) {
    EXPECT_NE(chain({set}), before) << set;
  }
}

TEST_F(KeyTest, StepsAreTheirLearningRates) {
  const ResolvedPipeline short_run = Load(text_);
  const ResolvedPipeline long_run = Load(text_, {"pretrain.max_tokens=100k"});
  const ResolvedStage& a = short_run.stages[short_run.FindStage("pretrain")];
  const ResolvedStage& b = long_run.stages[long_run.FindStage("pretrain")];
  ASSERT_TRUE(a.train_steps.has_value());
  EXPECT_EQ(a.train_steps->total_steps, 98);  // 50 000 tokens in steps of 8 x 64
  EXPECT_EQ(b.train_steps->total_steps, 196);
  // Equal up to the shorter run's first milestone at 80 %.
  EXPECT_EQ(StepsDigest(a, 0, 79), StepsDigest(b, 0, 79));
  EXPECT_NE(StepsDigest(a, 0, 80), StepsDigest(b, 0, 80));
  EXPECT_NE(StepsDigest(a, 0, 10), StepsDigest(a, 0, 11));
  EXPECT_NE(StepsDigest(a, 10, 20), StepsDigest(a, 11, 21));
}

TEST_F(KeyTest, RecipesAreKnownWithoutContent) {
  const auto recipes = [&](const std::vector<std::string>& set) {
    const ResolvedPipeline pipeline = Load(text_, set);
    std::map<std::string, std::string> by_name;
    for (size_t i = 0; i < pipeline.stages.size(); ++i)
      by_name[pipeline.stages[i].name] = HexOf(RecipeOf(pipeline, static_cast<int>(i)));
    return by_name;
  };
  const auto before = recipes({});
  ASSERT_TRUE(WriteFile(JoinPath(workspace_, "files/a.jsonl"), "{\"text\":\"other\"}\n").ok());
  EXPECT_THAT(Changed(before, recipes({})), IsEmpty());
  EXPECT_THAT(Changed(before, recipes({"pretrain.learning_rate=1"})), UnorderedElementsAre("pretrain", "quality"));
  EXPECT_THAT(Changed(before, recipes({"pretrain.validation.every_steps=9"})), IsEmpty());
}

TEST_F(KeyTest, DifferencesAreInValues) {
  const ResolvedPipeline before = Load(text_);
  const ResolvedPipeline after =
      Load(text_, {"pretrain.learning_rate=3e-3", "pretrain.beta2=0.99", "pretrain.loss_chunk_tokens=1024"});
  const int index = before.FindStage("pretrain");
  const std::vector<KeyDifference> differences =
      CompareKeyRecords(ComputeFakeKeys(before).records[index], ComputeFakeKeys(after).records[index]);
  std::vector<std::string> shown;
  for (const KeyDifference& d : differences) shown.push_back(absl::StrCat(d.path, ": ", d.before, " -> ", d.after));
  EXPECT_THAT(shown, ElementsAre("optimizer.adamw.learning_rate: 0.004 -> 0.003", "optimizer.adamw.beta2:  -> 0.99",
                                 "loss_chunk_tokens: 512 -> "));
}

TEST_F(KeyTest, AMissingDigestIsOurFault) {
  const ResolvedPipeline pipeline = Load(text_);
  const ResolvedStage& stage = pipeline.stages[pipeline.FindStage("ids")];
  KeyInputs inputs;
  EXPECT_EQ(MakeKeyRecord(pipeline, stage, inputs).status().code(), absl::StatusCode::kInternal);
  inputs.tool_digest = "sha256:x";
  inputs.input_digest["from.0"] = "sha256:y";
  const absl::Status status = MakeKey(pipeline, stage, inputs).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"tokenizer\""));
}

TEST_F(KeyTest, RequestsNameWhatTheStageGets) {
  const ResolvedPipeline pipeline = Load(text_);
  const StageRequest request = MakeRequest(pipeline, pipeline.stages[pipeline.FindStage("pretrain")]);
  EXPECT_EQ(request.kind(), "train");
  Train train;
  ASSERT_TRUE(request.parameters().UnpackTo(&train));
  EXPECT_FALSE(train.has_data());  // inputs are not parameters
  EXPECT_EQ(train.max_tokens(), "50000");
  EXPECT_EQ(train.parallel().data_parallel_size(), 2);
  std::vector<std::string> inputs, outputs;
  for (const StageInput& input : request.input())
    inputs.push_back(absl::StrCat(input.name(), " ", input.path(), " ", input.artifact()));
  for (const StageOutput& output : request.output())
    outputs.push_back(absl::StrCat(output.path(), " ", output.artifact()));
  EXPECT_THAT(inputs, ElementsAre("data in/data MIXTURE", "tokenizer in/tokenizer TOKENIZER",
                                  "validation.data in/validation.data SHARDS"));
  EXPECT_THAT(outputs, ElementsAre("out/checkpoint CHECKPOINT", "out/hugging_face FILES"));
  EXPECT_EQ(request.seed(), 7);
  EXPECT_EQ(request.reproducibility().leaf_sequences(), 4);
  EXPECT_FALSE(request.reproducibility().has_level());

  const StageRequest mix = MakeRequest(pipeline, pipeline.stages[pipeline.FindStage("mixed")]);
  EXPECT_EQ(mix.input(1).name(), "component.1.from");
  EXPECT_FALSE(mix.has_reproducibility());
  const StageRequest dedup = MakeRequest(pipeline, pipeline.stages[pipeline.FindStage("unique")]);
  EXPECT_FALSE(dedup.has_seed());
  EXPECT_EQ(dedup.input(1).path(), "in/from.1");
}

}  // namespace
}  // namespace millrace
