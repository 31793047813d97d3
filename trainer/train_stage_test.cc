// The stage with ranks as threads: one set of digests and curves, however the work is laid out or cut.
#include "trainer/train_stage.h"

#include <atomic>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "pipelines/schema/options.pb.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/thread_comm.h"
#include "trainer/train_testing.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  std::vector<absl::Status> statuses;
  std::map<std::string, std::string> digests;
  std::map<int64_t, double> loss, grad_norm, learning_rate, validation_loss;
};

struct HowToRun {
  int ranks = 1;
  int threads = 1;
  std::string resume_path;
  // After how many of its questions rank `ranks - 1` is told to stop; 0: never.
  int interrupted_after = 0;
};

class TrainStageTest : public ::testing::Test {
 protected:
  TrainStageTest() : inputs_(*MakeTempDirectory("train")) {}
  ~TrainStageTest() override { RemoveTree(inputs_.folder()).IgnoreError(); }

  std::string NewFolder() { return absl::StrCat(inputs_.folder(), "/run", runs_++); }

  Outcome Run(const HowToRun& how) { return Run(how, NewFolder()); }

  Outcome Run(const HowToRun& how, const std::string& folder) {
    const StageRequest request = inputs_.NewRequest(folder);
    const std::string events = folder + "/events";
    Outcome outcome;
    {
      CheckpointTaker taker(folder);
      outcome.statuses = RunThreadGang(how.ranks, [&](Comm& comm) {
        StageGang gang;
        gang.set_rank(comm.rank());
        gang.set_world_size(how.ranks);
        gang.set_threads(how.threads);
        if (!how.resume_path.empty()) gang.set_resume_path(how.resume_path);
        Stage stage(request, gang, events);
        Train parameters;
        request.parameters().UnpackTo(&parameters);
        std::atomic<int> questions = 0;
        return RunTrain(stage, parameters, comm, [&] {
          return how.interrupted_after > 0 && comm.rank() == how.ranks - 1 && ++questions >= how.interrupted_after;
        });
      });
    }
    outcome.digests = DigestsOf(folder);
    outcome.loss = Curve(events, "loss");
    outcome.grad_norm = Curve(events, "grad_norm");
    outcome.learning_rate = Curve(events, "learning_rate");
    outcome.validation_loss = Curve(events, "validation_loss");
    return outcome;
  }

  static void ExpectOk(const Outcome& outcome) {
    for (const absl::Status& status : outcome.statuses) EXPECT_EQ(status, absl::OkStatus());
  }

  static void ExpectSame(const Outcome& outcome, const Outcome& reference, const std::string& what) {
    ExpectOk(outcome);
    EXPECT_EQ(outcome.digests, reference.digests) << what;
    EXPECT_EQ(outcome.loss, reference.loss) << what;
    EXPECT_EQ(outcome.grad_norm, reference.grad_norm) << what;
    EXPECT_EQ(outcome.validation_loss, reference.validation_loss) << what;
  }

  TrainInputs inputs_;
  int runs_ = 0;
};

TEST_F(TrainStageTest, WritesCheckpointsModelAndCurves) {
  const std::string folder = NewFolder();
  const Outcome outcome = Run({}, folder);
  ExpectOk(outcome);
  std::vector<std::string> names;
  for (const auto& [name, digest] : outcome.digests) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"hugging_face", "step-000004", "step-000008", "step-000012"}));
  EXPECT_EQ(*ListFiles(folder + "/out/hugging_face"),
            (std::vector<std::string>{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}));
  EXPECT_EQ(*ListFiles(folder + "/out/checkpoint"), std::vector<std::string>());
  EXPECT_EQ(outcome.loss.size(), 12u);
  EXPECT_LT(outcome.loss.at(12), outcome.loss.at(1) - 0.5);
  EXPECT_DOUBLE_EQ(outcome.learning_rate.at(1), 1e-2 / 3);
  EXPECT_NEAR(outcome.learning_rate.at(12), 1e-3, 1e-12);
  ASSERT_EQ(outcome.validation_loss.size(), 3u);
  EXPECT_NEAR(outcome.validation_loss.at(12), outcome.loss.at(12), 0.5);

  const auto checkpoint = CheckpointReader::Open(folder + "/taken/step-000012");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->index().step, 12);
  EXPECT_NE(checkpoint->Find("adam_v/model.norm.weight"), nullptr);
  EXPECT_THAT(checkpoint->index().model_json, HasSubstr("\"hidden_size\":16"));

  double parameters = 0, tokens = 0, loss = 0;
  std::vector<int64_t> published;
  std::string detail;
  for (const StageEvent& event : ReadEvents(folder + "/events")) {
    if (event.has_checkpoint_published()) published.push_back(event.checkpoint_published().step());
    if (event.has_progress()) detail = event.progress().detail();
    if (!event.has_metric() || event.metric().has_step()) continue;
    if (event.metric().name() == "parameters") parameters = event.metric().value();
    if (event.metric().name() == "tokens") tokens = event.metric().value();
    if (event.metric().name() == "loss") loss = event.metric().value();
  }
  EXPECT_EQ(published, (std::vector<int64_t>{4, 8, 12}));
  EXPECT_EQ(parameters, 61 * 16 + 16 + 2 * (2 * 16 + 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 24));
  EXPECT_EQ(tokens, 12 * 6 * 16);
  EXPECT_EQ(loss, outcome.loss.at(12));
  EXPECT_THAT(detail, HasSubstr(absl::StrCat("lr 1.00e-03  ")));
}

TEST_F(TrainStageTest, SameBitsWhateverTheLayout) {
  const Outcome reference = Run({});
  for (const int ranks : {1, 2, 3, 4}) {
    for (const int threads : {1, 2}) {
      if (threads == 2 && ranks > 2) continue;
      inputs_.train().mutable_parallel()->set_micro_batch_size(ranks == 2 ? 2 : 6);
      inputs_.train().mutable_parallel()->set_recompute(ranks == 3 ? Parallel::FULL : Parallel::RECOMPUTE_NONE);
      ExpectSame(Run({.ranks = ranks, .threads = threads}), reference,
                 absl::StrCat(ranks, " ranks, ", threads, " threads"));
    }
  }
}

TEST_F(TrainStageTest, SameBitsWhenInterruptedAndResumedElsewhere) {
  const Outcome whole = Run({});
  // Steps 1 to 6 on two ranks, then to the end on three.
  const std::string folder = NewFolder();
  const Outcome first = Run({.ranks = 2, .interrupted_after = 6}, folder);
  for (const absl::Status& status : first.statuses) EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_EQ(first.digests.count("hugging_face"), 0u);
  const int64_t stopped_at = first.loss.rbegin()->first;
  const std::string resume = absl::StrCat(folder, "/taken/", CheckpointName(stopped_at));
  ASSERT_TRUE(IsDirectory(resume)) << stopped_at;

  Outcome second = Run({.ranks = 3, .resume_path = resume});
  EXPECT_EQ(second.loss.begin()->first, stopped_at + 1);
  for (const auto* curve : {&first.loss}) second.loss.insert(curve->begin(), curve->end());
  second.grad_norm.insert(first.grad_norm.begin(), first.grad_norm.end());
  second.validation_loss.insert(first.validation_loss.begin(), first.validation_loss.end());
  second.digests.insert(first.digests.begin(), first.digests.end());
  second.digests.erase(CheckpointName(stopped_at));
  Outcome expected = whole;
  expected.digests.erase(CheckpointName(stopped_at));
  ExpectSame(second, expected, "resumed");
}

TEST_F(TrainStageTest, ResumedAtTheEndWritesTheModel) {
  const std::string folder = NewFolder();
  const Outcome whole = Run({}, folder);
  const Outcome again = Run({.ranks = 2, .resume_path = folder + "/taken/step-000012"});
  ExpectOk(again);
  EXPECT_EQ(again.digests.at("hugging_face"), whole.digests.at("hugging_face"));
  EXPECT_EQ(again.digests.at("step-000012"), whole.digests.at("step-000012"));
}

TEST_F(TrainStageTest, RefusesWhatDoesNotGoTogether) {
  const Train good = inputs_.train();
  const struct {
    const char* description;
    std::function<void(Train&)> change;
    absl::StatusCode code;
    const char* message;
  } kCases[] = {
      {"precision", [](Train& t) { t.clear_precision(); }, absl::StatusCode::kUnimplemented, "fix: precision: FP32"},
      {"zero", [](Train& t) { t.mutable_parallel()->set_zero_stage(2); }, absl::StatusCode::kUnimplemented,
       "zero_stage 2 cannot be run"},
      {"pipeline", [](Train& t) { t.mutable_parallel()->set_pipeline_parallel_size(2); },
       absl::StatusCode::kUnimplemented, "pipeline_parallel_size 2"},
      {"layout",
       [](Train& t) {
         t.mutable_parallel()->set_layout(Parallel::FIXED);
         t.mutable_parallel()->set_data_parallel_size(4);
       },
       absl::StatusCode::kFailedPrecondition, "the gang has 1 ranks, data_parallel_size is 4"},
      {"batch", [](Train& t) { t.set_global_batch_size(5); }, absl::StatusCode::kInvalidArgument,
       "global_batch_size 5 is not a multiple of leaf_sequences 2"},
      {"micro", [](Train& t) { t.mutable_parallel()->set_micro_batch_size(3); }, absl::StatusCode::kInvalidArgument,
       "micro_batch_size 3 is not a multiple"},
      {"vocabulary", [](Train& t) { t.mutable_model()->set_vocab_size(60); }, absl::StatusCode::kInvalidArgument, "60"},
  };
  for (const auto& c : kCases) {
    inputs_.train() = good;
    c.change(inputs_.train());
    const absl::Status status = Run({}).statuses[0];
    EXPECT_EQ(status.code(), c.code) << c.description << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.description;
  }
}

TEST_F(TrainStageTest, RefusesACheckpointOfAnotherModel) {
  const std::string folder = NewFolder();
  ExpectOk(Run({}, folder));
  inputs_.train().mutable_model()->set_intermediate_size(32);
  const absl::Status status = Run({.resume_path = folder + "/taken/step-000004"}).statuses[0];
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is of another model: \"weights/model.layers.0.mlp.down_proj"));
}

TEST_F(TrainStageTest, ADivergedRunSaysSoOnAllRanks) {
  inputs_.train().mutable_optimizer()->mutable_adamw()->set_learning_rate(1e30);
  const Outcome outcome = Run({.ranks = 2});
  for (const absl::Status& status : outcome.statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("the training has diverged"));
  }
}

// Each leaf field of `message` whose effect is NONE, as a path.
void CollectNoneFields(const google::protobuf::Descriptor* message, const std::string& prefix,
                       std::set<std::string>& paths) {
  for (int i = 0; i < message->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = message->field(i);
    const std::string path = prefix + field->name();
    if (field->message_type() != nullptr) {
      CollectNoneFields(field->message_type(), path + ".", paths);
    } else if (field->options().GetExtension(effect) == NONE) {
      paths.insert(path);
    }
  }
}

// What the schema says changes nothing changes no bit. A field that is new in the schema needs a row here.
TEST_F(TrainStageTest, FieldsWithEffectNoneChangeNoBit) {
  const struct {
    const char* path;
    const char* train;            // merged into the parameters
    const char* reproducibility;  // merged into it
    int ranks = 1;
    bool refused = false;  // cannot be run with another value
  } kRows[] = {
      {"train.validation.data", "validation { data: \"elsewhere\" }", ""},
      {"train.validation.every_steps", "validation { every_steps: 2 }", ""},
      {"train.validation.max_tokens", "validation { max_tokens: \"40\" }", ""},
      {"train.checkpoint.every_steps", "checkpoint { every_steps: 3 }", ""},
      {"train.checkpoint.every", "checkpoint { every: \"1ms\" }", ""},
      {"train.checkpoint.keep_last", "checkpoint { keep_last: 7 }", ""},
      {"train.checkpoint.keep_every_steps", "checkpoint { keep_every_steps: 5 }", ""},
      {"train.parallel.layout", "parallel { layout: FIXED }", ""},
      {"train.parallel.data_parallel_size", "parallel { layout: FIXED data_parallel_size: 2 }", "", 2},
      {"train.parallel.zero_stage", "parallel { zero_stage: 1 }", "", 1, true},
      {"train.parallel.pipeline_parallel_size", "parallel { pipeline_parallel_size: 2 }", "", 1, true},
      {"train.parallel.micro_batch_size", "parallel { micro_batch_size: 4 }", ""},
      {"train.parallel.recompute", "parallel { recompute: FULL }", ""},
      {"train.parallel.threads_per_rank", "parallel { threads_per_rank: 2 }", ""},
      {"train.logging.every_steps", "logging { every_steps: 1 }", ""},
      {"reproducibility.level", "", "level: STATISTICAL"},
  };
  std::set<std::string> in_schema, in_table;
  CollectNoneFields(Train::descriptor(), "train.", in_schema);
  CollectNoneFields(Reproducibility::descriptor(), "reproducibility.", in_schema);
  for (const auto& row : kRows) in_table.insert(row.path);
  EXPECT_EQ(in_table, in_schema);

  const Train train = inputs_.train();
  const Reproducibility reproducibility = inputs_.reproducibility();
  const Outcome reference = Run({});
  for (const auto& row : kRows) {
    inputs_.train() = train;
    inputs_.reproducibility() = reproducibility;
    google::protobuf::TextFormat::Parser parser;
    ASSERT_TRUE(parser.MergeFromString(row.train, &inputs_.train())) << row.path;
    ASSERT_TRUE(parser.MergeFromString(row.reproducibility, &inputs_.reproducibility())) << row.path;
    const Outcome outcome = Run({.ranks = row.ranks});
    if (row.refused) {
      EXPECT_EQ(outcome.statuses[0].code(), absl::StatusCode::kUnimplemented) << row.path;
      continue;
    }
    ExpectOk(outcome);
    EXPECT_EQ(outcome.loss, reference.loss) << row.path;
    EXPECT_EQ(outcome.digests.at("hugging_face"), reference.digests.at("hugging_face")) << row.path;
    // Others may have been published; those that both have are the same.
    EXPECT_EQ(outcome.digests.count("step-000012"), 1u) << row.path;
    for (const auto& [name, digest] : outcome.digests) {
      const auto it = reference.digests.find(name);
      if (it == reference.digests.end()) continue;
      EXPECT_EQ(digest, it->second) << row.path << " " << name;
    }
  }
}

// Golden: a change here is a change of what every training run computes.
TEST_F(TrainStageTest, GoldenLosses) {
  inputs_.train().clear_validation();
  const Outcome outcome = Run({});
  const double kExpected[] = {4.019814, 3.959750, 3.604498, 3.271546, 3.080418, 2.931917,
                              2.804204, 2.722861, 2.633412, 2.586901, 2.551721, 2.504341};
  ASSERT_EQ(outcome.loss.size(), 12u);
  for (const auto& [step, loss] : outcome.loss) EXPECT_NEAR(loss, kExpected[step - 1], 1e-5) << step;
}

}  // namespace
}  // namespace millrace::trainer
