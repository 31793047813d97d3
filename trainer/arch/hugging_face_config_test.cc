#include "trainer/arch/hugging_face_config.h"

#include <gtest/gtest.h>

#include "trainer/arch/model_config.h"

namespace millrace::trainer {
namespace {

ModelConfig Preset(Model::Preset preset) {
  Model model;
  model.set_preset(preset);
  return *ModelConfigFromProto(model);
}

TEST(HuggingFaceConfigTest, ReadsWhatItWrites) {
  for (const Model::Preset preset : {Model::DEEPSEEK_LLM_7B, Model::DEEPSEEK_LLM_67B, Model::DEEPSEEK_CODER_33B}) {
    const ModelConfig config = Preset(preset);
    const std::string json = ToHuggingFaceConfigJson(config, {100000, 100001, "bfloat16"});
    HuggingFaceExtras extras;
    const absl::StatusOr<ModelConfig> read = FromHuggingFaceConfigJson(json, &extras);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, config);
    EXPECT_EQ(extras.bos_token_id, 100000);
    EXPECT_EQ(extras.eos_token_id, 100001);
    EXPECT_EQ(extras.torch_dtype, "bfloat16");
  }
}

constexpr char kCoderLike[] = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 256, "hidden_size": 112,
  "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 7, "num_key_value_heads": 1,
  "max_position_embeddings": 256, "rms_norm_eps": 1e-06, "rope_theta": 100000.0,
  "rope_scaling": {"type": "linear", "factor": 4.0, "rope_theta": 100000.0, "rope_type": "linear"},
  "tie_word_embeddings": false, "attention_bias": false, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1,
  "torch_dtype": "float32", "initializer_range": 0.02, "use_cache": true})";

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(HuggingFaceConfigTest, ReadsPublishedForms) {
  const absl::StatusOr<ModelConfig> config = FromHuggingFaceConfigJson(kCoderLike);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope_linear_factor, 4);
  EXPECT_EQ(config->rope_theta, 100000);
  EXPECT_EQ(config->num_key_value_heads, 1);
  EXPECT_EQ(config->head_dim(), 16);
}

TEST(HuggingFaceConfigTest, ReadsRopeParametersOfTransformers5) {
  const std::string json = R"({"model_type": "llama", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 192,
    "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 256, "head_dim": 16,
    "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}})";
  const absl::StatusOr<ModelConfig> config = FromHuggingFaceConfigJson(json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope_theta, 5000);
  EXPECT_EQ(config->num_key_value_heads, 4);
}

struct Row {
  const char* from;
  const char* to;
  const char* message;
};

TEST(HuggingFaceConfigTest, RefusesByName) {
  const Row rows[] = {
      {"\"llama\"", "\"deepseek_v2\"", "model_type is \"deepseek_v2\"; only \"llama\" is supported"},
      {"\"attention_bias\": false", "\"attention_bias\": true", "attention_bias is true; only false is supported"},
      {"\"silu\"", "\"gelu\"", "hidden_act is \"gelu\"; only \"silu\" is supported"},
      {"\"rope_type\": \"linear\"", "\"rope_type\": \"yarn\"", "rope_scaling.rope_type is \"yarn\""},
      {"\"use_cache\": true", "\"qk_norm\": true", "qk_norm is true; it is not supported"},
      {"\"use_cache\": true", "\"head_dim\": 128", "head_dim is 128; only 16 is supported"},
      {"\"vocab_size\": 256", "\"vocab_size\": \"x\"", "vocab_size is \"x\", not a whole number"},
      {"\"vocab_size\": 256, ", "", "vocab_size is missing"},
      {"\"num_attention_heads\": 7", "\"num_attention_heads\": 5", "hidden_size 112 is not a multiple"},
      {"\"rope_theta\": 100000.0,\n", "\"rope_theta\": [1],\n", "rope_theta is [1], not a number"},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<ModelConfig> config = FromHuggingFaceConfigJson(Replace(kCoderLike, row.from, row.to));
    ASSERT_FALSE(config.ok()) << row.to;
    EXPECT_NE(config.status().message().find(row.message), absl::string_view::npos) << config.status();
  }
  EXPECT_FALSE(FromHuggingFaceConfigJson("[1]").ok());
  EXPECT_FALSE(FromHuggingFaceConfigJson("{").ok());
}

}  // namespace
}  // namespace millrace::trainer
