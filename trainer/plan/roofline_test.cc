#include "trainer/plan/roofline.h"

#include <gtest/gtest.h>

#include "google/protobuf/text_format.h"
#include "trainer/arch/model_config.h"

namespace millrace::trainer {
namespace {

ModelConfig Preset(Model::Preset preset) {
  Model model;
  model.set_preset(preset);
  return *ModelConfigFromProto(model);
}

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

constexpr char kCluster[] = R"(
  name: "c"
  pool { name: "cpu" cpus: 2 memory: "8GiB" }
  pool { name: "gpu" host { name: "a" } host { name: "b" } price { per_node_hour: 8 currency: "CNY" }
         accelerator { model: "X" count: 4 memory: "24GiB" peak_bf16_teraflops: 165 peer_bandwidth: "10GB/s" } }
  network { bandwidth: "10Gbit/s" })";

TEST(HardwareTest, ReadsThePool) {
  const Hardware gpu = *HardwareOf(Parse<Cluster>(kCluster), "");
  EXPECT_TRUE(gpu.is_gpu);
  EXPECT_EQ(gpu.devices(), 8);
  EXPECT_EQ(gpu.memory_bytes, 24.0 * (1 << 30));
  EXPECT_EQ(gpu.peer_bytes_per_second, 10e9);
  EXPECT_EQ(gpu.network_bytes_per_second, 1.25e9);
  const Hardware cpu = *HardwareOf(Parse<Cluster>(kCluster), "cpu");
  EXPECT_FALSE(cpu.is_gpu);
  EXPECT_EQ(cpu.devices(), 1);
  EXPECT_EQ(cpu.memory_bytes, 8.0 * (1 << 30));
  EXPECT_EQ(HardwareOf(Parse<Cluster>(kCluster), "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(HardwareOf(Parse<Cluster>("name: \"c\""), "").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(HardwareOf(Parse<Cluster>("pool { name: \"p\" memory: \"much\" }"), "").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(StepTimeTest, SevenBOnTwoNodes) {
  const ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  const Hardware hardware = *HardwareOf(Parse<Cluster>(kCluster), "gpu");
  const double tokens = 2304.0 * 4096;
  const auto time = [&](const Layout& layout) {
    return EstimateStepTime(config, layout, 4096, 2304, MemoryAssumptions(), hardware);
  };
  // Weights gathered over 10 Gbit/s for each micro-batch: the network binds.
  const StepTime flat = time({3, 8, 1, 2, Parallel::FULL});
  EXPECT_EQ(flat.binding(), "the network");
  EXPECT_NEAR(tokens / flat.seconds(), 2258, 10);
  // Stages across the nodes, weights gathered within: computation binds.
  const StepTime pipeline = time({3, 4, 2, 2, Parallel::FULL});
  EXPECT_EQ(pipeline.binding(), "compute");
  EXPECT_NEAR(tokens / pipeline.seconds(), 14330, 50);
  EXPECT_GT(pipeline.seconds(), flat.compute_seconds);  // the pipeline is filled and drained
  // The same bytes with half the micro-batches.
  EXPECT_NEAR(time({3, 8, 1, 4, Parallel::FULL}).network_seconds / flat.network_seconds, 0.5, 1e-9);
  // One exchange a step, whatever the micro-batch.
  EXPECT_EQ(time({0, 8, 1, 1, Parallel::FULL}).network_seconds, time({0, 8, 1, 4, Parallel::FULL}).network_seconds);
  // Nothing to send.
  const StepTime alone = time({0, 1, 1, 1, Parallel::FULL});
  EXPECT_EQ(alone.network_seconds, 0);
  EXPECT_NEAR(alone.compute_seconds / flat.compute_seconds, 8, 1e-9);
}

TEST(StepTimeTest, RanksOfACpuNodeShareIt) {
  Hardware cpu = *HardwareOf(Parse<Cluster>(kCluster), "cpu");
  ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  config.num_hidden_layers = 2;
  const auto seconds = [&](int64_t ranks) {
    return EstimateStepTime(config, {0, ranks, 1, 1, Parallel::RECOMPUTE_NONE}, 128, 8, MemoryAssumptions(), cpu)
        .seconds();
  };
  EXPECT_EQ(seconds(1), seconds(2));
}

TEST(StepTimeTest, UnevenBatchesWaitForTheLongestRank) {
  EXPECT_EQ(MicroBatchesPerStep({0, 3, 1, 1}, 8), 3);
  EXPECT_EQ(MicroBatchesPerStep({0, 3, 1, 2}, 8), 2);
  EXPECT_EQ(MicroBatchesPerStep({0, 8, 1, 2}, 2304), 144);
}

TEST(DiskUseTest, CheckpointsOf7B) {
  const ModelConfig config = Preset(Model::DEEPSEEK_LLM_7B);
  const DiskUse by_time = *EstimateDiskUse(config, Parse<Train>("checkpoint { every: \"30m\" }"), 1000, 180);
  EXPECT_NEAR(by_time.checkpoint_bytes / 1e9, 82.9, 0.05);
  EXPECT_EQ(by_time.checkpoints, 100);
  EXPECT_NEAR(by_time.written_bytes, 100 * by_time.checkpoint_bytes + 2 * 6.91e9, 1e8);
  EXPECT_NEAR(by_time.peak_bytes, 3 * by_time.checkpoint_bytes + 2 * 6.91e9, 1e8);
  const DiskUse by_steps =
      *EstimateDiskUse(config, Parse<Train>("checkpoint { every_steps: 5 keep_every_steps: 500 }"), 1000, 180);
  EXPECT_EQ(by_steps.checkpoints, 200);
  EXPECT_NEAR(by_steps.peak_bytes, 5 * by_steps.checkpoint_bytes + 2 * 6.91e9, 1e8);
  EXPECT_FALSE(EstimateDiskUse(config, Parse<Train>("checkpoint { every: \"soon\" }"), 1000, 180).ok());
}

}  // namespace
}  // namespace millrace::trainer
