// Training as a chain, with a shell script for a trainer: its state is a number that each step changes with its
// learning rate and the entry of the mixture that it reads.
#include "executor/engine/train_chain.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "executor/cas/cas.h"
#include "executor/cas/remote/lying_cache.h"
#include "executor/engine/engine.h"
#include "executor/engine/pipeline_builder.h"
#include "executor/engine/train_data.h"
#include "executor/graph/tool_manifest.h"
#include "pipelines/schema/train.pb.h"

namespace millrace {
namespace {

// Learning rates come from a file outside, as a real trainer computes them from its parameters.
constexpr char kTrainer[] = R"(#!/bin/sh
field() { sed -n 's/.*"'$1'": *"\{0,1\}\([0-9]*\).*/\1/p' $2; }
total=$(field max_steps request.json)
every=$(field every_steps request.json)
step=$(field resume_step gang.json); step=${step:-0}
echo "from $step" >> LOG
state=0
[ $step -gt 0 ] && state=$(cat in/resume/state)
publish() {
  mkdir -p out/checkpoint/tmp
  echo $state > out/checkpoint/tmp/state
  mv out/checkpoint/tmp out/checkpoint/step-$step
  echo '{"checkpoint_published":{"path":"out/checkpoint/step-'$step'","step":'$step'}}' >> $MILLRACE_EVENTS
}
trap 'publish; exit 75' TERM
while [ $step -lt $total ]; do
  step=$((step + 1))
  rate=$(sed -n ${step}p RATES)
  row=0
  [ -e in/data ] && row=$(od -An -tu8 -j$((56 + 8 * step)) -N8 in/data/order.bin)
  state=$(( (state * 31 + step * rate + $row) % 1000003 ))
  echo '{"metric":{"name":"loss","value":'$state',"step":'$step'}}' >> $MILLRACE_EVENTS
  if [ -e STOP ] && [ $step = $(cat STOP) ]; then touch STOPPED; sleep 60 & wait; fi
  if [ -e FAIL ] && [ $step = $(cat FAIL) ]; then rm FAIL; exit 1; fi
  if [ $((step % every)) = 0 ] || [ $step = $total ]; then publish; fi
done
cat RATES | head -$total | tail -1 > /dev/null
echo model $state > out/hugging_face/model
head -c 10000 /dev/zero > out/hugging_face/large
)";

class TrainChainTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = *MakeTempDirectory("train_chain");
    options_.home = Path("home");
    std::string script = kTrainer;
    for (const char* name : {"LOG", "RATES", "STOPPED", "STOP", "FAIL"}) {
      for (size_t at = 0; (at = script.find(name, at)) != std::string::npos;) {
        const std::string path = Path(absl::StrCat("x_", absl::string_view(name)));
        // "STOP" is the beginning of "STOPPED", which was replaced before.
        if (at > 0 && script[at - 1] == '_') {
          at += 1;
          continue;
        }
        script.replace(at, std::string(name).size(), path);
        at += path.size();
      }
    }
    ASSERT_TRUE(WriteFile(Path("trainer"), script).ok());
    ASSERT_EQ(::chmod(Path("trainer").c_str(), 0755), 0);
    manifest_.tools["train"] = {"trainer", {{"trainer", Path("trainer")}}};
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }

  // `rates`: of steps 1, 2, ...; as many steps.
  ResolvedPipeline Pipeline(const std::vector<int>& rates, int every) {
    auto train = std::make_shared<Train>();
    train->set_max_steps(rates.size());
    train->mutable_checkpoint()->set_every_steps(every);
    train->mutable_optimizer()->mutable_adamw()->set_learning_rate(rates[0]);
    ResolvedStage stage;
    stage.name = "pretrain";
    stage.kind = "train";
    stage.tool = "train";
    stage.outputs = {{"checkpoint", CHECKPOINT}, {"hugging_face", FILES}};
    stage.parameters = train;
    stage.train_steps.emplace();
    stage.train_steps->total_steps = rates.size();
    stage.train_steps->learning_rate.assign(rates.begin(), rates.end());
    std::string text;
    for (const int rate : rates) absl::StrAppend(&text, rate, "\n");
    EXPECT_TRUE(WriteFile(Path("x_RATES"), text).ok());
    ResolvedPipeline pipeline;
    pipeline.name = "test";
    pipeline.stages.push_back(std::move(stage));
    return pipeline;
  }
  // The same behind a stage that makes a mixture of these entries, one a step, over shards of that content.
  ResolvedPipeline Mixed(const std::vector<int>& rates, int every, const std::vector<uint64_t>& order,
                         const std::string& shards) {
    std::string bytes("MRMIXORD\2\0\0\0", 12);
    bytes.resize(64);
    const uint64_t positions = order.size();
    std::memcpy(bytes.data() + 16, &positions, 8);
    bytes.append(reinterpret_cast<const char*>(order.data()), order.size() * 8);
    const std::string file = Path("order." + HexOf(Sha256Of(bytes)));
    EXPECT_TRUE(WriteFile(file, bytes).ok());
    PipelineBuilder builder;
    builder.Shell("mix", absl::StrCat("cp ", file, " out/out/order.bin; echo ", positions,
                                      " > out/out/manifest.json; echo ", shards, " > out/out/shards"));
    ResolvedPipeline pipeline = builder.pipeline();
    ResolvedStage train = Pipeline(rates, every).stages[0];
    auto parameters = std::make_shared<Train>(static_cast<const Train&>(*train.parameters));
    parameters->set_global_batch_size(1);
    train.parameters = parameters;
    train.edges.push_back({"data", 0, "out", MIXTURE});
    pipeline.stages.push_back(std::move(train));
    return pipeline;
  }
  RunResult Run(const ResolvedPipeline& pipeline) {
    ::unlink(Path("x_LOG").c_str());
    engine_ = *Engine::Create(options_, &manifest_);
    notes_.clear();
    auto result = engine_->Run(pipeline, [&](const RunEvent& event) {
      if (event.has_note()) notes_ += event.note();
      if (event.stage_changed().has_error()) notes_ += event.stage_changed().error();
    });
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  }
  // "from 0\n" for each start of the trainer.
  std::string Starts() {
    const auto log = ReadFile(Path("x_LOG"));
    return log.ok() ? *log : "";
  }
  StagePlan Plan(const ResolvedPipeline& pipeline) {
    engine_ = *Engine::Create(options_, &manifest_);
    return engine_->Plan(pipeline)->back();
  }
  static std::string Summary(const RunResult& result) {
    if (!result.entries.contains("pretrain")) return "no entry";
    ActionEntry entry = result.entries.at("pretrain");
    for (const char* field : {"duration_seconds", "peak_memory_bytes", "cpu_seconds", "run_id"})
      entry.GetReflection()->ClearField(&entry, entry.GetDescriptor()->FindFieldByName(field));
    return entry.DebugString();
  }

  std::string folder_;
  EngineOptions options_;
  ToolManifest manifest_;
  std::unique_ptr<Engine> engine_;
  std::string notes_;
};

std::vector<int> Rates(int steps, int rate) { return std::vector<int>(steps, rate); }

TEST_F(TrainChainTest, AnUndisturbedRunAndItsEntry) {
  const RunResult result = Run(Pipeline(Rates(10, 3), 4));
  EXPECT_EQ(result.exit_status, 0) << notes_;
  const ActionEntry& entry = result.entries.at("pretrain");
  ASSERT_EQ(entry.output_size(), 2);
  EXPECT_EQ(entry.output(0).name(), "checkpoint");
  ASSERT_EQ(entry.curve(0).step_size(), 10);
  const std::string state = *ReadFile(*engine_->Materialize(entry.output(0)) + "/state");
  EXPECT_EQ(*ReadFile(*engine_->Materialize(entry.output(1)) + "/model"), "model " + state);
  EXPECT_EQ(Starts(), "from 0\n");
  Run(Pipeline(Rates(10, 3), 4));
  EXPECT_EQ(Starts(), "");
  // When checkpoints are written is in no key.
  Run(Pipeline(Rates(10, 3), 7));
  EXPECT_EQ(Starts(), "");
}

TEST_F(TrainChainTest, KilledAndResumedIsTheSame) {
  options_.home = Path("undisturbed");
  const std::string undisturbed = Summary(Run(Pipeline(Rates(20, 3), 6)));
  options_.home = Path("home");
  ASSERT_TRUE(WriteFile(Path("x_FAIL"), "15").ok());
  EXPECT_EQ(Summary(Run(Pipeline(Rates(20, 3), 6))), undisturbed) << notes_;
  EXPECT_EQ(Starts(), "from 0\nfrom 12\n");
}

TEST_F(TrainChainTest, AnotherHomeGoesOnFromASharedCheckpoint) {
  LyingCache server(Path("server"));
  const std::vector<uint64_t> order(20, 7);
  options_.home = Path("undisturbed");
  const std::string undisturbed = Summary(Run(Mixed(Rates(20, 3), 6, order, "shards")));
  options_.caches.emplace_back().url = server.Url("ok");
  options_.home = Path("a");
  Run(Mixed(Rates(10, 3), 4, order, "shards"));

  options_.home = Path("b");
  EXPECT_EQ(Plan(Mixed(Rates(20, 3), 6, order, "shards")).resume_step, 10);
  EXPECT_EQ(Summary(Run(Mixed(Rates(20, 3), 6, order, "shards"))), undisturbed) << notes_;
  EXPECT_EQ(Starts(), "from 10\n") << notes_;
  // Another budget that ends where one has ended: nothing runs.
  options_.home = Path("c");
  Run(Mixed(Rates(10, 3), 5, order, "shards"));
  EXPECT_EQ(Starts(), "");
  EXPECT_EQ(Summary(Run(Mixed(Rates(20, 3), 6, order, "shards"))), undisturbed) << notes_;
  EXPECT_EQ(Starts(), "");

  // A state that cannot be had after all: from what is here, the same in the end.
  options_.home = Path("d");
  options_.caches[0].url = server.Url("flip");
  EXPECT_EQ(Summary(Run(Mixed(Rates(15, 3), 6, order, "shards"))), Summary([&] {
              options_ = {};
              options_.home = Path("undisturbed");
              return Run(Mixed(Rates(15, 3), 6, order, "shards"));
            }()));
}

TEST_F(TrainChainTest, InterruptedAtAnyStepIsTheSame) {
  options_.home = Path("undisturbed");
  const std::string undisturbed = Summary(Run(Pipeline(Rates(20, 3), 6)));
  options_.home = Path("home");
  ASSERT_TRUE(WriteFile(Path("x_STOP"), "9").ok());
  engine_ = *Engine::Create(options_, &manifest_);
  std::thread thread([&] {
    while (!FileExists(Path("x_STOPPED"))) absl::SleepFor(absl::Milliseconds(2));
    engine_->Interrupt();
  });
  EXPECT_EQ(engine_->Run(Pipeline(Rates(20, 3), 6), nullptr)->exit_status, 130);
  thread.join();
  ::unlink(Path("x_STOP").c_str());
  const StagePlan plan = Plan(Pipeline(Rates(20, 3), 6));
  EXPECT_EQ(plan.resume_step, 9);
  EXPECT_EQ(plan.total_steps, 20);
  EXPECT_EQ(Summary(Run(Pipeline(Rates(20, 3), 6))), undisturbed);
  EXPECT_EQ(Starts(), "from 9\n");
}

TEST_F(TrainChainTest, ALongerRunGoesOnWhereLearningRatesDiffer) {
  std::vector<int> first = Rates(20, 3);
  for (int step = 15; step <= 20; ++step) first[step - 1] = 1;  // decay at the end
  Run(Pipeline(first, 4));
  std::vector<int> longer = Rates(40, 3);
  for (int step = 30; step <= 40; ++step) longer[step - 1] = 1;
  const StagePlan plan = Plan(Pipeline(longer, 4));
  EXPECT_EQ(plan.resume_step, 12);
  EXPECT_EQ(plan.prefix_reason, "step 15 would use learning rate 3 instead of 1");
  const std::string resumed = Summary(Run(Pipeline(longer, 4)));
  EXPECT_EQ(Starts(), "from 12\n");
  options_.home = Path("other");
  EXPECT_EQ(Summary(Run(Pipeline(longer, 4))), resumed);

  // Another learning rate from the first step on: nothing is shared.
  options_.home = Path("home");
  EXPECT_EQ(Plan(Pipeline(Rates(20, 4), 4)).prefix_reason, "step 1 would use learning rate 4 instead of 3");
  Run(Pipeline(Rates(20, 4), 4));
  EXPECT_EQ(Starts(), "from 0\n");
  // A shorter run of the same ends at a recorded state; what is written at the end is not there yet.
  const std::string shorter = Summary(Run(Pipeline(Rates(12, 4), 4)));
  EXPECT_EQ(Starts(), "from 12\n");
  options_.home = Path("other");
  EXPECT_EQ(Summary(Run(Pipeline(Rates(12, 4), 4))), shorter);
}

std::vector<uint64_t> Order(int positions) {
  std::vector<uint64_t> order(positions);
  for (int i = 0; i < positions; ++i) order[i] = 1000 + i;
  return order;
}

TEST_F(TrainChainTest, AMixtureThatBeginsAlikeIsFollowedToWhereItDiffers) {
  const RunResult first = Run(Mixed(Rates(12, 3), 4, Order(20), "a"));
  EXPECT_EQ(Starts(), "from 0\n");
  // More epochs: the same steps. A mixture is another artifact then, and is made; training has nothing to do.
  const RunResult longer_order = Run(Mixed(Rates(12, 3), 4, Order(24), "a"));
  EXPECT_EQ(Starts(), "");
  EXPECT_EQ(Summary(longer_order), Summary(first));
  EXPECT_EQ(longer_order.exit_status, 0);
  Run(Mixed(Rates(16, 3), 4, Order(24), "a"));
  EXPECT_EQ(Starts(), "from 12\n");

  std::vector<uint64_t> other = Order(24);
  other[10] = 7;                                                     // step 11
  ASSERT_EQ(Run(Mixed(Rates(1, 9), 4, other, "a")).exit_status, 0);  // so that the mixture is there to plan with
  const StagePlan plan = Plan(Mixed(Rates(12, 3), 4, other, "a"));
  EXPECT_EQ(plan.resume_step, 8);
  EXPECT_EQ(plan.prefix_reason, "steps 9 to 12 would read other data than recorded");
  const std::string resumed = Summary(Run(Mixed(Rates(12, 3), 4, other, "a")));
  EXPECT_EQ(Starts(), "from 8\n");
  EXPECT_NE(resumed, Summary(first));
  options_.home = Path("other");
  EXPECT_EQ(Summary(Run(Mixed(Rates(12, 3), 4, other, "a"))), resumed);
  EXPECT_EQ(Starts(), "from 0\n");
}

TEST_F(TrainChainTest, OtherShardsOrAShorterOrderAreNotFollowed) {
  Run(Mixed(Rates(12, 3), 4, Order(20), "a"));
  Run(Mixed(Rates(12, 3), 4, Order(20), "b"));
  EXPECT_EQ(Starts(), "from 0\n");
  // It ends with step 10: the trainer refuses to begin, whatever is recorded.
  Run(Mixed(Rates(1, 9), 4, Order(10), "a"));
  EXPECT_EQ(Plan(Mixed(Rates(12, 3), 4, Order(10), "a")).resume_step, 8);
}

TEST_F(TrainChainTest, DataWhoseBytesAreGoneMatchThemselvesAlone) {
  const auto cas = *Cas::Open(Path("cas"));
  const ResolvedStage stage = Mixed({3}, 1, Order(20), "a").stages[1];
  ActionEntry gone, other;
  for (ActionEntry* entry : {&gone, &other}) entry->add_output()->set_name("out");
  gone.mutable_output(0)->set_digest(Digest::Of("gone").ToString());
  other.mutable_output(0)->set_digest(Digest::Of("other").ToString());
  SegmentEntry segment;
  segment.set_last(1);
  TrainData::Of(*cas, stage, {&gone}).Describe(segment);
  EXPECT_EQ(segment.data_of_steps(), "");
  EXPECT_TRUE(TrainData::Of(*cas, stage, {&gone}).Matches(segment));
  EXPECT_FALSE(TrainData::Of(*cas, stage, {&other}).Matches(segment));
  EXPECT_FALSE(TrainData().Matches(segment));
}

TEST_F(TrainChainTest, AnotherBudgetThatEndsAtTheSameStateNeedsNotRun) {
  ResolvedPipeline by_steps = Pipeline(Rates(10, 3), 4);
  ResolvedPipeline by_tokens = Pipeline(Rates(10, 3), 4);
  auto train = std::make_shared<Train>(static_cast<const Train&>(*by_tokens.stages[0].parameters));
  train->set_max_tokens("10240");
  by_tokens.stages[0].parameters = train;
  const RunResult first = Run(by_steps);
  EXPECT_EQ(Plan(by_tokens).status, StagePlan::Status::kCached);
  const RunResult second = Run(by_tokens);
  EXPECT_EQ(Starts(), "");
  EXPECT_EQ(second.entries.at("pretrain").output(1).digest(), first.entries.at("pretrain").output(1).digest());
  EXPECT_EQ(second.entries.at("pretrain").curve(0).step_size(), 10);
}

TEST_F(TrainChainTest, CollectedStatesAreMadeAgain) {
  const std::string whole = Summary(Run(Pipeline(Rates(10, 3), 2)));
  ASSERT_TRUE(engine_->CollectGarbage({}).ok());
  EXPECT_EQ(Plan(Pipeline(Rates(10, 3), 2)).status, StagePlan::Status::kRun);
  EXPECT_EQ(Summary(Run(Pipeline(Rates(10, 3), 2))), whole) << notes_;
  EXPECT_EQ(Starts(), "from 0\n");
}

TEST_F(TrainChainTest, ACachedModelThatGoesAwayInTheMiddleIsMadeAgainFromItsLastState) {
  const RunResult first = Run(Pipeline(Rates(10, 3), 2));
  PipelineBuilder builder;
  builder.pipeline() = Pipeline(Rates(10, 3), 2);
  // The states are small: the model alone has a blob of its own file.
  builder.Shell("vandal",
                absl::StrCat("[ -e ", Path("done"), " ] || rm -f ", options_.home, "/cas/blobs/*/*; touch ",
                             Path("done"), "; echo > out/out/v"),
                {"pretrain.hugging_face"});
  builder.Shell("use", "cksum < in/pretrain/large > out/out/sum", {"pretrain.hugging_face", "vandal"});
  const RunResult result = Run(builder.pipeline());
  EXPECT_EQ(result.exit_status, 0) << notes_;
  EXPECT_EQ(Starts(), "from 10\n");
  EXPECT_EQ(Summary(result), Summary(first));
  EXPECT_TRUE(absl::StrContains(notes_, "runs again")) << notes_;
}

TEST_F(TrainChainTest, ATrainerThatContradictsARecordedStateIsStopped) {
  Run(Pipeline(Rates(10, 3), 5));
  options_.force = {"pretrain"};
  const ResolvedPipeline pipeline = Pipeline(Rates(10, 3), 5);
  EXPECT_EQ(Run(pipeline).exit_status, 0);
  EXPECT_EQ(Starts(), "from 0\n");
  ASSERT_TRUE(WriteFile(Path("x_RATES"), "3\n3\n3\n9\n3\n3\n3\n3\n3\n3\n").ok());
  EXPECT_EQ(Run(pipeline).exit_status, 1);
  EXPECT_TRUE(absl::StrContains(notes_, "stage \"pretrain\" made another state after step 5")) << notes_;
}

TEST_F(TrainChainTest, ATrainerThatEndsTooEarlyFails) {
  ResolvedPipeline pipeline = Pipeline(Rates(10, 3), 5);
  pipeline.stages[0].train_steps->total_steps = 12;
  pipeline.stages[0].train_steps->learning_rate.resize(12);
  pipeline.stages[0].execution.set_attempts(1);
  EXPECT_EQ(Run(pipeline).exit_status, 1);
  EXPECT_TRUE(absl::StrContains(notes_, "its last checkpoint is of step 10 of 12")) << notes_;
}

}  // namespace
}  // namespace millrace
