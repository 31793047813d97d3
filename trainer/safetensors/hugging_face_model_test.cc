#include "trainer/safetensors/hugging_face_model.h"

#include <cstring>
#include <vector>

#include "base/file.h"
#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

TEST(HuggingFaceModel, RoundTrip) {
  const std::string folder = *MakeTempDirectory("hf");
  ModelConfig config;
  config.num_hidden_layers = 1;
  config.hidden_size = 4;
  config.intermediate_size = 8;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.vocab_size = 3;
  config.max_position_embeddings = 16;
  HuggingFaceExtras extras;
  extras.eos_token_id = 2;
  std::vector<std::string> order;
  const auto append = [&](const std::string& name, SafetensorsWriter& writer) {
    order.push_back(name);
    const std::vector<float> values(name == "a" ? 4 : 12, static_cast<float>(order.size()));
    writer.Append(absl::string_view(reinterpret_cast<const char*>(values.data()), values.size() * 4));
    return absl::OkStatus();
  };
  ASSERT_TRUE(WriteHuggingFaceModel(folder, config, extras, {{"b", {3, 4}}, {"a", {4}}}, append).ok());
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b"}));
  const auto model = OpenHuggingFaceModel(folder);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->config, config);
  EXPECT_EQ(model->extras.eos_token_id, 2);
  std::vector<float> b(12);
  ASSERT_TRUE(model->weights.ReadFloats("b", 12, b.data()).ok());
  EXPECT_EQ(b[5], 2);

  const auto nothing = [](const std::string&, SafetensorsWriter&) { return absl::OkStatus(); };
  EXPECT_EQ(WriteHuggingFaceModel(folder, config, extras, {{"a", {4}}}, nothing).code(), absl::StatusCode::kInternal);
  ASSERT_TRUE(RemoveTree(folder).ok());
  EXPECT_EQ(OpenHuggingFaceModel(folder).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::trainer
