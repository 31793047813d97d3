#include "executor/cli/estimate.h"

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "executor/graph/load.h"
#include "gtest/gtest.h"

namespace millrace {
namespace {

constexpr char kPipeline[] = R"(
name: "tiny"
stage { name: "docs" corpus { files { glob: "docs.jsonl" } take: "30MB" } }
stage { name: "unique" dedup { from: "docs" exact {} } }
stage { name: "parts" split { from: "unique" held_out_fraction: 0.1 } }
stage { name: "bpe" train_tokenizer { from: "parts" vocab_size: 512 } }
stage { name: "ids" tokenize { from: "parts" tokenizer: "bpe" } }
stage { name: "shards" pack { from: "ids" sequence_length: 64 } }
stage {
  name: "pretrain"
  train {
    data: "shards"
    tokenizer: "bpe"
    model {
      num_hidden_layers: 2 hidden_size: 64 intermediate_size: 128 num_attention_heads: 2 vocab_size: 512
      max_position_embeddings: 64
    }
    precision: FP32
    global_batch_size: 8
    max_tokens: "1M"
    optimizer { adamw { learning_rate: 1e-3 } }
  }
}
stage { name: "quality" evaluate { model: "pretrain" tokenizer: "bpe" likelihood { data: "shards.held_out" } } }
stage { name: "note" custom { input { name: "metrics" from: "quality" } command { argument: "true" } } }
)";

class EstimateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = MakeTempDirectory("estimate").value();
    ASSERT_TRUE(WriteFile(JoinPath(folder, "docs.jsonl"), std::string(60'000'000, 'x')).ok());
    LoadOptions options;
    options.file = "tiny.textproto";
    options.workspace = folder;
    Diagnostics diagnostics;
    auto pipeline = LoadPipeline(kPipeline, options, diagnostics);
    ASSERT_TRUE(pipeline.ok()) << diagnostics.ToString();
    pipeline_ = *std::move(pipeline);
    plans_.resize(pipeline_.stages.size());
    const ResolvedStage& train = pipeline_.stages[At("pretrain")];
    plans_[At("pretrain")].total_steps = train.train_steps->total_steps;
  }

  int At(const std::string& name) const { return pipeline_.FindStage(name); }
  RunEstimate Make(int cpus = 2) const {
    return EstimateRun(pipeline_, plans_, {.cpus = cpus, .training_seconds = training_seconds_});
  }

  ResolvedPipeline pipeline_;
  std::vector<StagePlan> plans_;
  const std::map<std::string, double>* training_seconds_ = nullptr;
};

using Basis = StageEstimate::Basis;

TEST_F(EstimateTest, GuessesWhatNeverRan) {
  const RunEstimate estimate = Make();
  EXPECT_EQ(estimate.guessed, 8);
  EXPECT_EQ(estimate.unknown, 1) << "what a program of the user's takes cannot be guessed";
  EXPECT_NEAR(estimate.stages[At("docs")].seconds, 60e6 / 50e6, 0.2) << "all of it is read";
  EXPECT_NEAR(estimate.stages[At("docs")].bytes, 30e6 * 1.05, 1e6) << "and half of it is taken";
  EXPECT_NEAR(estimate.stages[At("unique")].seconds, 30e6 / 40e6, 0.2);
  // 6 times parameters times tokens, at 45 GFLOP/s a core, within the head and attention.
  EXPECT_NEAR(estimate.stages[At("pretrain")].seconds, 6.0 * 150e3 * 1e6 / 90e9, 8);
  EXPECT_GT(estimate.stages[At("quality")].seconds, 0.1);
  EXPECT_GT(estimate.disk_bytes, 100e6);
  EXPECT_EQ(EstimateText(estimate).substr(0, 6), "about ");
}

TEST_F(EstimateTest, TakesWhatRanFromItsRecordAndLeavesOutWhatIsCached) {
  for (StagePlan& plan : plans_) {
    plan.status = StagePlan::Status::kCached;
    plan.expected_seconds = 5;
    plan.expected_bytes = 1000;
  }
  RunEstimate estimate = Make();
  EXPECT_EQ(estimate.seconds, 0);
  EXPECT_EQ(estimate.disk_bytes, 0);
  EXPECT_EQ(EstimateText(estimate), "");

  plans_[At("quality")].status = StagePlan::Status::kRun;
  StagePlan& train = plans_[At("pretrain")];
  train.status = StagePlan::Status::kRun;
  train.expected_seconds = 80;
  train.resume_step = train.total_steps / 4;
  estimate = Make();
  EXPECT_EQ(estimate.stages[At("pretrain")].basis, Basis::kMeasured);
  EXPECT_NEAR(estimate.stages[At("pretrain")].seconds, 60, 1) << "a quarter of the steps is recorded";
  EXPECT_NEAR(estimate.seconds, 65, 1) << "one behind the other";
  EXPECT_EQ(estimate.stages[At("docs")].basis, Basis::kNone);
  EXPECT_EQ(estimate.guessed + estimate.unknown, 0);
}

TEST_F(EstimateTest, DoesNotTakeAnotherProfilesRecordForThisOne) {
  StagePlan& train = plans_[At("pretrain")];
  train.expected_seconds = 2e5;
  EXPECT_EQ(Make().stages[At("pretrain")].basis, Basis::kGuessed) << "ten thousand times the work";
  train.expected_seconds = 20;
  EXPECT_EQ(Make().stages[At("pretrain")].basis, Basis::kMeasured);
  KeyComponent& tokens = *train.previous.emplace().add_component();
  tokens.set_path("max_tokens");
  tokens.set_value("500000");
  EXPECT_NEAR(Make().stages[At("pretrain")].seconds, 40, 0.1) << "twice the tokens, twice the time";

  plans_[At("unique")].expected_seconds = 1;
  EXPECT_EQ(Make().stages[At("unique")].basis, Basis::kMeasured);
  pipeline_.stages[At("docs")].external_inputs[0].unresolved = "root \"corpora\" is not named";
  EXPECT_EQ(Make().stages[At("unique")].basis, Basis::kUnknown) << "how much text there is is not known";
}

TEST_F(EstimateTest, TakesTrainingFromTheClustersPlan) {
  const std::map<std::string, double> seconds = {{"pretrain", 3600}};
  training_seconds_ = &seconds;
  plans_[At("pretrain")].expected_seconds = 20;
  EXPECT_NEAR(Make().stages[At("pretrain")].seconds, 3600, 2);
  const std::map<std::string, double> nothing_fits;
  training_seconds_ = &nothing_fits;
  EXPECT_EQ(Make().stages[At("pretrain")].basis, Basis::kUnknown);
}

TEST(EstimateText, SaysNoMoreThanIsKnown) {
  EXPECT_EQ(RoughTime(0.2), "1 s");
  EXPECT_EQ(RoughTime(99), "99 s");
  EXPECT_EQ(RoughTime(188), "3 min");
  EXPECT_EQ(RoughTime(7300), "2 hours");
  EXPECT_EQ(RoughTime(86400.0 * 5), "5 days");
  EXPECT_EQ(RoughTime(4.4 * 365.25 * 86400), "4 years");
  RunEstimate estimate;
  estimate.seconds = 190;
  estimate.disk_bytes = 810 << 20;
  EXPECT_EQ(EstimateText(estimate), "about 3 min, 810 MiB of disk");
  estimate.unknown = 1;
  EXPECT_EQ(EstimateText(estimate), "about 3 min, 810 MiB of disk, and 1 stage of which nothing is known");
}

}  // namespace
}  // namespace millrace
