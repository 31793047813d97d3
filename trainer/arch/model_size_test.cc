#include "trainer/arch/model_size.h"

#include <gtest/gtest.h>

#include "trainer/arch/model_config.h"

namespace millrace::trainer {
namespace {

ModelConfig Preset(Model::Preset preset) {
  Model model;
  model.set_preset(preset);
  return *ModelConfigFromProto(model);
}

// Parameters are exact; FLOPs in GF at sequence length 4096: layers, head, causal attention.
struct Row {
  Model::Preset preset;
  int64_t parameters, layer;
  double layers_gf, head_gf, attention_gf;
};

TEST(ModelSizeTest, PublishedModels) {
  const Row rows[] = {
      {Model::DEEPSEEK_LLM_7B, 6'910'365'696, 202'383'360, 36.4, 2.5, 3.0},
      {Model::DEEPSEEK_LLM_67B, 67'425'001'472, 692'076'544, 394.5, 5.0, 19.1},
      {Model::DEEPSEEK_CODER_33B, 33'342'991'360, 530'331'648, 197.3, 1.4, 10.9},
  };
  for (const Row& row : rows) {
    const ModelConfig config = Preset(row.preset);
    EXPECT_EQ(CountParameters(config).total(), row.parameters);
    EXPECT_EQ(CountParameters(config).layer(), row.layer);
    const FlopsPerToken flops = CountFlopsPerToken(config, 4096);
    EXPECT_NEAR(flops.layers / 1e9, row.layers_gf, 0.05);
    EXPECT_NEAR(flops.head / 1e9, row.head_gf, 0.05);
    EXPECT_NEAR(flops.attention / 1e9, row.attention_gf, 0.05);
    EXPECT_EQ(CountFlopsPerToken(config, 4096, /*causal=*/false).attention, 2 * flops.attention);
  }
}

TEST(ModelSizeTest, TiedEmbeddingsCountOnceButTheHeadStillComputes) {
  ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  config.tie_word_embeddings = true;
  EXPECT_EQ(CountParameters(config).total(), 6'910'365'696 - int64_t{102400} * 4096);
  EXPECT_EQ(CountFlopsPerToken(config, 4096).head, 6.0 * 102400 * 4096);
}

TEST(ModelSizeTest, RecomputationRepeatsTheLayersForwardPass) {
  const FlopsPerToken flops = CountFlopsPerToken(Preset(Model::DEEPSEEK_LLM_7B), 4096);
  EXPECT_NEAR(flops.total_with_full_recomputation() / 1e9, 55.1, 0.1);
}

}  // namespace
}  // namespace millrace::trainer
