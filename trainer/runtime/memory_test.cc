// The planner's closed form of a rank's memory (trainer/plan/memory.h) beside what a step really holds: what blocks
// keep, measured, in the schedule that the runtime executes, simulated.
#include "trainer/plan/memory.h"

#include <algorithm>
#include <map>

#include "ATen/Parallel.h"
#include "gtest/gtest.h"
#include "trainer/model/model.h"
#include "trainer/runtime/testing.h"
#include "trainer/runtime/train_state.h"
#include "trainer/schedule/data_parallel.h"
#include "trainer/schedule/simulate.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kLength = 128, kChunk = 64;

ModelConfig Config() {
  ModelConfig config = SmallModel(/*tied=*/false);
  config.num_hidden_layers = 6;
  config.hidden_size = 96;
  config.intermediate_size = 256;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.vocab_size = 128;
  config.max_position_embeddings = kLength;
  return config;
}

// Sizes as the blocks' forward passes leave them.
DataParallelInput Measured(const ModelConfig& config) {
  at::set_num_threads(1);
  const auto model = BuildModel(config, kChunk, kLength);
  TrainState state(model);
  state.Initialize(1);
  const NamedTensors weights = state.NamedWeights();
  MadeUpLeaves source(1, 1, kLength, config.vocab_size);
  Leaf leaf;
  EXPECT_TRUE(source.BeginStep(1).ok());
  EXPECT_TRUE(source.Load(0, leaf).ok());
  DataParallelInput input;
  for (const TrainState::Tensor& tensor : state.tensors()) input.tensors.push_back({tensor.spec.name, tensor.elements});
  at::Tensor in, out;
  for (const auto& block : model) {
    DataParallelInput::Block described{.name = block->name()};
    for (const ParameterSpec& parameter : block->parameters())
      described.tensors.push_back(state.IndexOf(parameter.name));
    out = at::Tensor();
    Saved saved;
    block->Forward(WeightsOf(*block, weights), leaf, in, out, saved);
    for (const at::Tensor& tensor : saved.tensors) described.saved_bytes_per_leaf += tensor.nbytes();
    described.output_bytes_per_leaf = out.nbytes();
    input.blocks.push_back(std::move(described));
    in = out;
  }
  return input;
}

TEST(MemoryTest, TheClosedFormIsWhatAStepHolds) {
  const ModelConfig config = Config();
  DataParallelInput input = Measured(config);
  struct Row {
    int64_t leaves_per_micro_batch;
    bool recompute;
  };
  for (const Row& row : {Row{1, false}, Row{3, false}, Row{1, true}}) {
    SCOPED_TRACE(testing::Message() << row.leaves_per_micro_batch << " leaves, recompute " << row.recompute);
    input.leaves_per_micro_batch = row.leaves_per_micro_batch;
    input.num_leaves = 2 * row.leaves_per_micro_batch;  // in the second micro-batch all sums are there
    input.recompute = row.recompute;
    const auto schedule = CompileDataParallel(input);
    ASSERT_TRUE(schedule.ok()) << schedule.status();
    const MemoryProfile held = SimulateMemory(*schedule, 0);
    auto bytes = held.at_peak_bytes;

    Train train;
    train.set_precision(Train::FP32);
    train.set_loss_chunk_tokens(kChunk);
    Layout layout;
    layout.micro_batch = row.leaves_per_micro_batch;
    layout.recompute = row.recompute ? Parallel::FULL : Parallel::RECOMPUTE_NONE;
    const RankMemory estimate = EstimateMemory(config, layout, kLength, 2, MemoryAssumptions::For(train, 8, 0));

    EXPECT_EQ(bytes[BufferKind::kWeights], estimate.weights);
    EXPECT_EQ(bytes[BufferKind::kOptimizerState], estimate.optimizer);
    EXPECT_EQ(bytes[BufferKind::kGradientSum], estimate.gradients + 8 * ReportElements(1));
    // The peak comes in the last layer's backward pass: what the head kept is gone, all layers' activations are there.
    EXPECT_EQ(schedule->blocks[schedule->ranks[0][held.peak_instruction].block], "layers.5");
    const double activations = bytes[BufferKind::kSaved] + bytes[BufferKind::kActivation];
    // With recomputation the closed form counts the input of the layer at work twice.
    const double twice = row.recompute ? 4 * kLength * config.hidden_size : 0;
    EXPECT_NEAR(activations / (estimate.activations - twice), 1, 0.01);
    EXPECT_LE(bytes[BufferKind::kLeafGradient], estimate.gathered);
    EXPECT_NEAR(held.peak_bytes / estimate.total(), 1, 0.06);
  }
}

}  // namespace
}  // namespace millrace::trainer
