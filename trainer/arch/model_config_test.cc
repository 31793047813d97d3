#include "trainer/arch/model_config.h"

#include <gtest/gtest.h>

namespace millrace::trainer {
namespace {

Model Small() {
  Model model;
  model.set_num_hidden_layers(2);
  model.set_hidden_size(128);
  model.set_intermediate_size(352);
  model.set_num_attention_heads(4);
  model.set_num_key_value_heads(2);
  model.set_vocab_size(4096);
  model.set_max_position_embeddings(128);
  return model;
}

TEST(ExpandPresetTest, FieldsThatAreSetWin) {
  Model model;
  model.set_preset(Model::DEEPSEEK_LLM_7B);
  model.set_initializer_range(0.006);
  model.set_num_hidden_layers(3);
  ExpandPreset(&model);
  EXPECT_FALSE(model.has_preset());
  EXPECT_EQ(model.initializer_range(), 0.006);
  EXPECT_EQ(model.num_hidden_layers(), 3);
  EXPECT_EQ(model.hidden_size(), 4096);
  EXPECT_EQ(model.vocab_size(), 102400);
}

TEST(ExpandPresetTest, CoderHasLinearRopeAndGroupedQueries) {
  Model model;
  model.set_preset(Model::DEEPSEEK_CODER_33B);
  ExpandPreset(&model);
  EXPECT_EQ(model.rope_theta(), 100000);
  EXPECT_EQ(model.rope_linear_factor(), 4);
  EXPECT_EQ(model.num_attention_heads(), 56);
  EXPECT_EQ(model.num_key_value_heads(), 8);
  EXPECT_EQ(model.max_position_embeddings(), 16384);
}

TEST(ExpandPresetTest, TwiceIsOnceAndKeyValueHeadsDefaultToHeads) {
  Model model = Small();
  model.clear_num_key_value_heads();
  ExpandPreset(&model);
  EXPECT_EQ(model.num_key_value_heads(), 4);
  Model again = model;
  ExpandPreset(&again);
  EXPECT_EQ(model.SerializeAsString(), again.SerializeAsString());
}

TEST(ValidateTest, AcceptsPresetsAndSmallModels) {
  for (const Model::Preset preset : {Model::DEEPSEEK_LLM_7B, Model::DEEPSEEK_LLM_67B, Model::DEEPSEEK_CODER_33B}) {
    Model model;
    model.set_preset(preset);
    EXPECT_TRUE(ModelConfigFromProto(model).ok());
  }
  EXPECT_TRUE(Validate(Small()).empty());
  EXPECT_EQ(ModelConfigFromProto(Small())->head_dim(), 32);
}

TEST(ValidateTest, ReportsEveryMissingSize) {
  const std::vector<ConfigProblem> problems = Validate(Model());
  ASSERT_EQ(problems.size(), 7);
  EXPECT_EQ(problems[0].field, "num_hidden_layers");
  EXPECT_EQ(problems[0].what, "model has no num_hidden_layers");
}

struct Row {
  const char* field;
  void (*change)(Model*);
};

TEST(ValidateTest, NamesTheFieldThatIsWrong) {
  const Row rows[] = {
      {"hidden_size", [](Model* m) { m->set_hidden_size(130); }},
      {"hidden_size", [](Model* m) { m->set_hidden_size(12); }},  // heads of 3 dimensions
      {"num_key_value_heads", [](Model* m) { m->set_num_key_value_heads(3); }},
      {"num_key_value_heads", [](Model* m) { m->set_num_key_value_heads(8); }},
      {"rope_theta", [](Model* m) { m->set_rope_theta(0); }},
      {"rms_norm_eps", [](Model* m) { m->set_rms_norm_eps(-1); }},
      {"initializer_range", [](Model* m) { m->set_initializer_range(-0.1); }},
      {"rope_linear_factor", [](Model* m) { m->set_rope_linear_factor(0.5); }},
  };
  for (const Row& row : rows) {
    Model model = Small();
    row.change(&model);
    const std::vector<ConfigProblem> problems = Validate(model);
    ASSERT_EQ(problems.size(), 1) << row.field;
    EXPECT_EQ(problems[0].field, row.field);
    EXPECT_FALSE(problems[0].what.empty());
    EXPECT_FALSE(ModelConfigFromProto(model).ok());
  }
}

TEST(ValidateTest, SuggestsASizeThatIsValid) {
  Model model = Small();
  model.set_hidden_size(130);
  EXPECT_EQ(Validate(model)[0].fix, "hidden_size: 136");
  model.set_hidden_size(136);
  EXPECT_TRUE(Validate(model).empty());
}

TEST(ValidateAgainstDataTest, ChecksPositionsAndIds) {
  EXPECT_TRUE(ValidateAgainstData(Small(), 128, 4096).empty());
  const std::vector<ConfigProblem> problems = ValidateAgainstData(Small(), 129, 4097);
  ASSERT_EQ(problems.size(), 2);
  EXPECT_EQ(problems[0].what, "max_position_embeddings 128 is less than the data's sequence_length 129");
  EXPECT_EQ(problems[1].what, "vocab_size 4096 is less than the tokenizer's 4097");
}

TEST(ModelConfigTest, SurvivesTheMessage) {
  Model model;
  model.set_preset(Model::DEEPSEEK_CODER_33B);
  const ModelConfig config = *ModelConfigFromProto(model);
  EXPECT_EQ(*ModelConfigFromProto(ModelConfigToProto(config)), config);
}

}  // namespace
}  // namespace millrace::trainer
