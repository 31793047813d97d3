#include "trainer/plan/memory.h"

#include <gtest/gtest.h>

#include "trainer/arch/model_config.h"
#include "trainer/arch/model_size.h"

namespace millrace::trainer {
namespace {

constexpr double kGiB = 1 << 30, kMiB = 1 << 20;

ModelConfig Preset(Model::Preset preset) {
  Model model;
  model.set_preset(preset);
  return *ModelConfigFromProto(model);
}

// GiB of states a rank: stage 0, then stages 1 to 3 with 8, 64 and 512 ranks.
struct StatesRow {
  Model::Preset preset;
  double gradient_bytes;
  double stage0, stage1[3], stage2[3], stage3[3];
};

TEST(StateMemoryTest, WorkedTable) {
  const StatesRow rows[] = {
      {Model::DEEPSEEK_LLM_7B, 2, 103.0, {35.4, 26.9, 25.9}, {24.1, 14.3, 13.0}, {12.9, 1.6, 0.2}},
      {Model::DEEPSEEK_LLM_7B, 4, 115.8, {48.3, 39.8, 38.8}, {25.7, 14.5, 13.1}, {14.5, 1.8, 0.2}},
      {Model::DEEPSEEK_CODER_33B, 2, 496.8, {170.8, 130.0, 124.9}, {116.4, 68.9, 63.0}, {62.1, 7.8, 1.0}},
      {Model::DEEPSEEK_CODER_33B, 4, 559.0, {232.9, 192.1, 187.0}, {124.2, 69.9, 63.1}, {69.9, 8.7, 1.1}},
      {Model::DEEPSEEK_LLM_67B, 2, 1004.7, {345.4, 263.0, 252.6}, {235.5, 139.3, 127.3}, {125.6, 15.7, 2.0}},
      {Model::DEEPSEEK_LLM_67B, 4, 1130.3, {471.0, 388.5, 378.2}, {251.2, 141.3, 127.6}, {141.3, 17.7, 2.2}},
  };
  for (const StatesRow& row : rows) {
    const double parameters = CountParameters(Preset(row.preset)).total();
    MemoryAssumptions assumptions;
    assumptions.gradient_bytes = row.gradient_bytes;
    const auto gib = [&](int stage, int64_t ranks) {
      return StateMemory(parameters, stage, ranks, assumptions).states() / kGiB;
    };
    EXPECT_NEAR(gib(0, 8), row.stage0, 0.051);
    for (int i = 0; i < 3; ++i) {
      const int64_t ranks = i == 0 ? 8 : i == 1 ? 64 : 512;
      EXPECT_NEAR(gib(1, ranks), row.stage1[i], 0.051) << parameters << " " << ranks;
      EXPECT_NEAR(gib(2, ranks), row.stage2[i], 0.051) << parameters << " " << ranks;
      EXPECT_NEAR(gib(3, ranks), row.stage3[i], 0.051) << parameters << " " << ranks;
    }
  }
}

// MiB of a layer at s = 4096 and one sequence, GiB of all layers.
struct ActivationsRow {
  Model::Preset preset;
  double mib[4], gib[4];  // unfused, fused, SwiGLU with a fused kernel, input only
};

TEST(LayerActivationBytesTest, WorkedTable) {
  const ActivationsRow rows[] = {
      {Model::DEEPSEEK_LLM_7B, {3104, 544, 514, 32}, {90.9, 15.9, 15.1, 0.94}},
      {Model::DEEPSEEK_CODER_33B, {5432, 952, 803, 56}, {328.9, 57.6, 48.6, 3.39}},
      {Model::DEEPSEEK_LLM_67B, {6208, 1088, 917, 64}, {575.9, 100.9, 85.1, 5.94}},
  };
  const ActivationForm forms[] = {ActivationForm::kUnfused, ActivationForm::kFused, ActivationForm::kSwiglu,
                                  ActivationForm::kInputOnly};
  for (const ActivationsRow& row : rows) {
    const ModelConfig config = Preset(row.preset);
    for (int i = 0; i < 4; ++i) {
      const double bytes = LayerActivationBytes(config, forms[i], 4096, 4096, 2);
      EXPECT_NEAR(bytes / kMiB, row.mib[i], 0.51);
      EXPECT_NEAR(bytes * config.num_hidden_layers / kGiB, row.gib[i], 0.051);
    }
    const double inner = LayerActivationBytes(config, ActivationForm::kSwigluInner, 4096, 4096, 2);
    EXPECT_LT(inner, LayerActivationBytes(config, ActivationForm::kSwiglu, 4096, 4096, 2));
    EXPECT_GT(inner, LayerActivationBytes(config, ActivationForm::kInputOnly, 4096, 4096, 2));
  }
}

TEST(LossBytesTest, WholeAndInChunks) {
  const ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  EXPECT_NEAR(LossBytes(config, 4096, 2) / kGiB, 3.91, 0.005);
  EXPECT_NEAR(LossBytes(config, 1024, 2) / kGiB, 0.98, 0.005);
  EXPECT_EQ(LossBytes(config, 1, 4), 8 * 102400);
}

TEST(EstimateMemoryTest, TermsOf7BOnEightRanks) {
  const ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  const MemoryAssumptions assumptions;
  const RankMemory two = EstimateMemory(config, {2, 8, 1, 1, Parallel::FULL}, 4096, 288, assumptions);
  EXPECT_NEAR(two.weights / kGiB, 12.87, 0.005);
  EXPECT_NEAR(two.gradients / kGiB, 3.22, 0.005);
  EXPECT_NEAR(two.optimizer / kGiB, 9.65, 0.005);
  EXPECT_NEAR(two.gathered / kGiB, 0.78, 0.005);
  EXPECT_NEAR(two.activations / kGiB, 1.44, 0.005);
  const RankMemory three = EstimateMemory(config, {3, 8, 1, 2, Parallel::FULL}, 4096, 144, assumptions);
  EXPECT_NEAR(three.weights / kGiB, 1.61, 0.005);
  EXPECT_NEAR(three.gathered / kGiB, 1.94, 0.005);
  EXPECT_NEAR(three.activations / kGiB, 2.88, 0.005);
}

TEST(EstimateMemoryTest, FirstPipelineStageHoldsAllLayersActivations) {
  const ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  const MemoryAssumptions assumptions;
  const RankMemory one = EstimateMemory(config, {3, 4, 1, 2, Parallel::RECOMPUTE_NONE}, 4096, 144, assumptions);
  for (const int64_t stages : {2, 3, 5, 6}) {
    const RankMemory memory =
        EstimateMemory(config, {3, 4, stages, 2, Parallel::RECOMPUTE_NONE}, 4096, 144, assumptions);
    EXPECT_NEAR(memory.activations / one.activations, 1, 1e-12) << stages;
  }
  // With one micro-batch a step there is nothing more to hold.
  const RankMemory single = EstimateMemory(config, {3, 4, 2, 2, Parallel::RECOMPUTE_NONE}, 4096, 1, assumptions);
  EXPECT_NEAR(single.activations / one.activations, 0.5, 1e-12);
}

TEST(StageParametersTest, SumToTheModel) {
  const ModelConfig config = Preset(Model::DEEPSEEK_LLM_67B);
  for (const int64_t stages : {1, 2, 4, 8}) {
    double sum = 0;
    int64_t layers = 0;
    for (int64_t stage = 0; stage < stages; ++stage) {
      sum += StageParameters(config, stages, stage);
      layers += LayersOfStage(95, stages, stage);
    }
    EXPECT_EQ(sum, 67'425'001'472.0);
    EXPECT_EQ(layers, 95);
  }
  EXPECT_EQ(LayersOfStage(95, 4, 0), 24);
  EXPECT_EQ(LayersOfStage(95, 4, 3), 23);
}

TEST(MemoryAssumptionsTest, Fp32HasOneCopyOfTheWeights) {
  Train train;
  train.set_precision(Train::FP32);
  train.set_loss_chunk_tokens(256);
  const MemoryAssumptions assumptions = MemoryAssumptions::For(train, 8, 0);
  EXPECT_EQ(StateMemory(1, 0, 1, assumptions).states(), 4 + 8 + 8);
  EXPECT_EQ(assumptions.loss_chunk_tokens, 256);
}

}  // namespace
}  // namespace millrace::trainer
