#include "trainer/plan/planner.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/file.h"
#include "google/protobuf/text_format.h"
#include "trainer/arch/model_config.h"

namespace millrace::trainer {
namespace {

constexpr double kGiB = 1 << 30;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

ModelConfig Config(const std::string& text) { return *ModelConfigFromProto(Parse<Model>(text)); }

PlanRequest SevenB() {
  PlanRequest request;
  request.model = Config("preset: DEEPSEEK_LLM_7B");
  request.train = Parse<Train>(R"(global_batch_size: 2304 max_tokens: "2T" checkpoint { keep_every_steps: 20000 })");
  request.sequence_length = 4096;
  request.cluster = Parse<ClusterFile>(*ReadFile("pipelines/clusters/lan_2x4_rtx4090.textproto")).cluster(0);
  return request;
}

// Bytes of the columns up to "total", for a layout that is in the plan.
const Candidate* Find(const Plan& plan, int zero_stage, int64_t pipeline) {
  for (const Candidate& row : plan.rows) {
    if (row.layout.zero_stage == zero_stage && row.layout.pipeline == pipeline) return &row;
  }
  return nullptr;
}

TEST(PlannerTest, SevenBOnEightRtx4090) {
  const absl::StatusOr<Plan> plan = MakePlan(SevenB());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->total_steps, 211'928);
  const Candidate* two = Find(*plan, 2, 1);
  ASSERT_NE(two, nullptr);
  EXPECT_NEAR(two->memory.states() / kGiB, 25.7, 0.05);
  EXPECT_EQ(two->fit, Fit::kNo);
  const Candidate* three = Find(*plan, 3, 1);
  ASSERT_NE(three, nullptr);
  EXPECT_EQ(three->fit, Fit::kYes);
  EXPECT_EQ(three->layout.recompute, Parallel::FULL);
  ASSERT_TRUE(plan->chosen.has_value());
  EXPECT_EQ(LayoutName(plan->chosen->layout), "pipeline 2 x ZeRO-3 (4)");
  EXPECT_EQ(plan->chosen->step.binding(), "compute");
  EXPECT_FALSE(plan->sensible());
  EXPECT_NE(plan->refusal.find("limits.max_gpu_hours 2 000 < 31"), std::string::npos) << plan->refusal;
}

TEST(PlannerTest, SevenBOnEightRtx4090AsText) {
  const std::string text = FormatPlan(*MakePlan(SevenB()));
  EXPECT_EQ(text, *ReadFile("trainer/plan/testdata/deepseek_7b_lan_2x4_rtx4090.txt")) << text;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) EXPECT_LE(line.size(), 130) << line;
}

TEST(PlannerTest, BfloatGradientsOfZero2DoNotFitEither) {
  PlanRequest request = SevenB();
  request.gradient_bytes = 2;
  const absl::StatusOr<Plan> plan = MakePlan(request);
  const Candidate* two = Find(*plan, 2, 1);
  ASSERT_NE(two, nullptr);
  EXPECT_NEAR(two->memory.states() / kGiB, 24.1, 0.05);
  EXPECT_EQ(two->fit, Fit::kNo);
}

TEST(PlannerTest, AFixedLayoutThatDoesNotFitGetsItsNearest) {
  PlanRequest request = SevenB();
  *request.train.mutable_parallel() =
      Parse<Parallel>("layout: FIXED zero_stage: 2 data_parallel_size: 8 micro_batch_size: 2 recompute: FULL");
  const absl::StatusOr<Plan> plan = MakePlan(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->fits());
  ASSERT_TRUE(plan->nearest.has_value());
  EXPECT_EQ(plan->nearest->layout, (Layout{3, 8, 1, 2, Parallel::FULL}));
  const std::string text = FormatPlan(*plan);
  EXPECT_NE(text.find("nearest that fits: ZeRO-3, 8 ranks, micro_batch_size 2, recompute full"), std::string::npos)
      << text;
}

TEST(PlannerTest, RefusesAFixedLayoutThatTheClusterHasNotTheDevicesFor) {
  PlanRequest request = SevenB();
  *request.train.mutable_parallel() = Parse<Parallel>("layout: FIXED data_parallel_size: 16");
  const absl::Status status = MakePlan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("are 16 ranks, but cluster \"lan_2x4_rtx4090\" has 8 devices"),
            absl::string_view::npos);
  *request.train.mutable_parallel() = Parse<Parallel>("layout: FIXED pipeline_parallel_size: 31");
  request.cluster.mutable_pool(0)->mutable_accelerator()->set_count(40);
  EXPECT_EQ(MakePlan(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PlannerTest, NothingFits) {
  PlanRequest request = SevenB();
  request.model = Config("preset: DEEPSEEK_LLM_67B");
  const absl::StatusOr<Plan> plan = MakePlan(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->chosen.has_value());
  EXPECT_FALSE(plan->fits());
  EXPECT_NE(FormatPlan(*plan).find("fits: NO.  The smallest layout"), std::string::npos) << FormatPlan(*plan);
}

TEST(PlannerTest, ALaptopIsOneCpuNode) {
  PlanRequest request;
  request.model = Config(R"(num_hidden_layers: 2 hidden_size: 128 intermediate_size: 352 num_attention_heads: 2
                            vocab_size: 4096 max_position_embeddings: 128 tie_word_embeddings: true)");
  request.train = Parse<Train>(R"(global_batch_size: 8 max_tokens: "2.4M" precision: FP32
                                  parallel { layout: FIXED data_parallel_size: 2 micro_batch_size: 4 })");
  request.sequence_length = 128;
  request.cluster = Parse<Cluster>(R"(name: "local" local {} pool { name: "cpu" cpus: 2 memory: "4GiB" })");
  request.gradient_bytes = 8;
  const absl::StatusOr<Plan> plan = MakePlan(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->fits());
  EXPECT_TRUE(plan->sensible());
  EXPECT_EQ(plan->gpu_hours, 0);
  EXPECT_GT(plan->chosen->tokens_per_second, 10e3);  // 15 k measured
  EXPECT_LT(plan->chosen->tokens_per_second, 20e3);
  // Two ranks share the node's memory.
  request.cluster.mutable_pool(0)->set_memory("600MiB");
  EXPECT_FALSE(MakePlan(request)->fits());
  request.train.mutable_parallel()->set_data_parallel_size(1);
  EXPECT_TRUE(MakePlan(request)->fits());
  request.cluster.mutable_pool(0)->clear_memory();
  EXPECT_EQ(MakePlan(request)->chosen->fit, Fit::kUnknown);
  EXPECT_NE(FormatPlan(*MakePlan(request)).find("fits: unknown"), std::string::npos);
}

TEST(PlannerTest, AutoOnOneNodeIsTheSimplestThatFits) {
  PlanRequest request;
  request.model = Config(R"(num_hidden_layers: 2 hidden_size: 128 intermediate_size: 352 num_attention_heads: 2
                            vocab_size: 4096 max_position_embeddings: 128)");
  request.train = Parse<Train>("global_batch_size: 8 max_steps: 100 precision: FP32");
  request.sequence_length = 128;
  request.cluster = Parse<Cluster>(R"(name: "local" local {} pool { name: "cpu" cpus: 2 memory: "4GiB" })");
  const absl::StatusOr<Plan> plan = MakePlan(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->chosen->layout, (Layout{0, 1, 1, 1, Parallel::RECOMPUTE_NONE}));
}

}  // namespace
}  // namespace millrace::trainer
