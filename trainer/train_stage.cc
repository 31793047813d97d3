#include "trainer/train_stage.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "data/shards/batch_order.h"
#include "google/protobuf/util/json_util.h"
#include "trainer/arch/learning_rate.h"
#include "trainer/arch/model_config.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/gloo_comm.h"
#include "trainer/comm/shared_memory_comm.h"
#include "trainer/model/model.h"
#include "trainer/runtime/batch_leaf_source.h"
#include "trainer/runtime/publish.h"
#include "trainer/runtime/step_runner.h"
#include "trainer/runtime/train_state.h"
#include "trainer/runtime/validation.h"
#include "trainer/safetensors/hugging_face_model.h"

namespace millrace::trainer {
namespace {

absl::Status CheckRunnable(const Train& train, int world_size) {
  if (train.precision() != Train::FP32) {
    return absl::UnimplementedError(absl::StrCat("precision ", Train::Precision_Name(train.precision()),
                                                 " cannot be run on this processor\n  why: the kernels are float32\n"
                                                 "  fix: precision: FP32"));
  }
  const Parallel& parallel = train.parallel();
  if (parallel.recompute() == Parallel::SELECTIVE) {
    return absl::UnimplementedError(
        "recompute SELECTIVE cannot be run\n  fix: recompute: FULL, or RECOMPUTE_NONE\n"
        "  why: the attention kernel keeps nothing that is worth running again");
  }
  if (parallel.layout() == Parallel::FIXED && parallel.data_parallel_size() != world_size) {
    return absl::FailedPreconditionError(
        absl::StrCat("the gang has ", world_size, " ranks, data_parallel_size is ", parallel.data_parallel_size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ModelJson(const ModelConfig& config) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(ModelConfigToProto(config), &json, options).ok())
    return absl::InternalError("the model has no JSON form");
  return json;
}

absl::StatusOr<StepOptions> MakeStepOptions(const Train& train, const Reproducibility& reproducibility) {
  const int64_t leaf_sequences = reproducibility.leaf_sequences();
  const int64_t batch = train.global_batch_size();
  if (batch % leaf_sequences != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("global_batch_size ", batch, " is not a multiple of leaf_sequences ", leaf_sequences));
  }
  const Parallel& parallel = train.parallel();
  const int64_t micro_batch = parallel.has_micro_batch_size() ? parallel.micro_batch_size() : leaf_sequences;
  if (micro_batch % leaf_sequences != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("micro_batch_size ", micro_batch, " is not a multiple of leaf_sequences ", leaf_sequences));
  }
  const Optimizer::AdamW& adamw = train.optimizer().adamw();
  StepOptions options;
  options.num_leaves = batch / leaf_sequences;
  options.gradient_sum =
      reproducibility.gradient_sum() == Reproducibility::INT64 ? GradientSum::kInt64 : GradientSum::kFloat32;
  options.beta1 = adamw.beta1();
  options.beta2 = adamw.beta2();
  options.epsilon = adamw.epsilon();
  options.weight_decay = adamw.weight_decay();
  options.decay_norms_and_biases = adamw.decay_norms_and_biases();
  options.max_grad_norm = train.optimizer().max_grad_norm();
  options.leaves_per_micro_batch = micro_batch / leaf_sequences;
  options.recompute = parallel.recompute() == Parallel::FULL;
  options.zero_stage = parallel.zero_stage();
  options.pipeline_parallel_size = parallel.pipeline_parallel_size();
  return options;
}

// One rank of a run.
class Training {
 public:
  Training(Stage& stage, const Train& train, Comm& comm, const std::function<bool()>& interrupted)
      : stage_(stage), train_(train), comm_(comm), interrupted_(interrupted), leader_(comm.rank() == 0) {}

  absl::Status Run() {
    RETURN_IF_ERROR(CheckRunnable(train_, comm_.world_size()));
    at::set_num_threads(std::max(1, stage_.threads()));
    RETURN_IF_ERROR(OpenInputs());
    RETURN_IF_ERROR(MakeModel());
    RETURN_IF_ERROR(Steps());
    if (last_step_done_ < total_steps_) return absl::CancelledError("interrupted; a checkpoint is published");
    return leader_ ? Finish() : absl::OkStatus();
  }

 private:
  absl::Status OpenInputs() {
    ASSIGN_OR_RETURN(config_, ModelConfigFromProto(train_.model()));
    ASSIGN_OR_RETURN(const std::string data, stage_.InputPath("data"));
    ASSIGN_OR_RETURN(data::BatchOrder order, data::BatchOrder::Open(data, stage_.seed()));
    order_.emplace(std::move(order));
    const int64_t length = order_->sequence_length();
    if (const auto problems = ValidateAgainstData(train_.model(), length, order_->vocab_size()); !problems.empty())
      return absl::InvalidArgumentError(ToString(problems));
    ASSIGN_OR_RETURN(total_steps_, TotalSteps(train_, length));
    RETURN_IF_ERROR(ValidateSchedule(train_.schedule()));
    RETURN_IF_ERROR(order_->CheckEnough(total_steps_, train_.global_batch_size()));
    tokens_per_step_ = TokensPerStep(train_, length);
    return absl::OkStatus();
  }

  absl::Status MakeModel() {
    const Reproducibility& reproducibility = stage_.request().reproducibility();
    ASSIGN_OR_RETURN(const StepOptions options, MakeStepOptions(train_, reproducibility));
    model_ = BuildModel(config_, train_.loss_chunk_tokens(), order_->sequence_length());
    state_.emplace(model_);
    RETURN_IF_ERROR(LoadOrInitialize());
    source_.emplace(*order_, train_.global_batch_size(), reproducibility.leaf_sequences());
    ASSIGN_OR_RETURN(runner_, StepRunner::New(model_, *state_, comm_, *source_, options));
    if (train_.validation().has_data() || stage_.HasInput("validation.data")) {
      ASSIGN_OR_RETURN(const std::string folder, stage_.InputPath("validation.data"));
      int64_t max_tokens = 0;
      if (train_.validation().has_max_tokens()) {
        ASSIGN_OR_RETURN(max_tokens, ParseTokens(train_.validation().max_tokens()));
      }
      ASSIGN_OR_RETURN(validation_, Validation::Open(folder, max_tokens, config_, train_.loss_chunk_tokens(),
                                                     reproducibility.leaf_sequences(), *state_));
    }
    return MakePublisher();
  }

  absl::Status LoadOrInitialize() {
    if (!stage_.gang().has_resume_path()) {
      state_->Initialize(stage_.seed());
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const CheckpointReader checkpoint, CheckpointReader::Open(stage_.gang().resume_path()));
    RETURN_IF_ERROR(state_->Load(checkpoint));
    last_step_done_ = checkpoint.index().step;
    if (stage_.gang().has_resume_step() && stage_.gang().resume_step() != last_step_done_) {
      return absl::FailedPreconditionError(absl::StrCat("the checkpoint to go on from is of step ", last_step_done_,
                                                        ", not of step ", stage_.gang().resume_step()));
    }
    if (last_step_done_ > total_steps_) {
      return absl::FailedPreconditionError(
          absl::StrCat("the checkpoint to go on from is of step ", last_step_done_, ", the run has ", total_steps_));
    }
    return absl::OkStatus();
  }

  absl::Status MakePublisher() {
    PublishOptions options;
    ASSIGN_OR_RETURN(options.folder, stage_.OutputPath("checkpoint"));
    ASSIGN_OR_RETURN(options.model_json, ModelJson(config_));
    options.announce = [this](const std::string& path, int64_t step) { return stage_.ReportCheckpoint(path, step); };
    options.interrupted = interrupted_;
    publisher_.emplace(*state_, comm_, std::move(options));
    ASSIGN_OR_RETURN(const double every_seconds, ParseDurationSeconds(train_.checkpoint().every()));
    publish_every_ = every_seconds > 0 ? absl::Seconds(every_seconds) : absl::InfiniteDuration();
    return absl::OkStatus();
  }

  absl::Status Steps() {
    published_at_ = speed_since_ = absl::Now();
    if (last_step_done_ == total_steps_) return publisher_->Publish(total_steps_);
    while (last_step_done_ < total_steps_) {
      const int64_t step = last_step_done_ + 1;
      const double rate = LearningRateAt(train_.schedule(), train_.optimizer().adamw().learning_rate(), step,
                                         total_steps_, tokens_per_step_);
      // Only rank 0's clock decides.
      const StepSignals signals{.interrupted = interrupted_(),
                                .checkpoint_wanted = leader_ && absl::Now() - published_at_ >= publish_every_};
      ASSIGN_OR_RETURN(const StepResult result, runner_->RunStep(step, rate, signals));
      last_step_done_ = step;
      last_loss_ = result.loss;
      if (leader_) Report(step, rate, result);
      RETURN_IF_ERROR(Validate(step));
      const int64_t every = train_.checkpoint().every_steps();
      if (step == total_steps_ || (every > 0 && step % every == 0) || result.signals.checkpoint_wanted ||
          result.signals.interrupted) {
        RETURN_IF_ERROR(publisher_->Publish(step));
        published_at_ = absl::Now();
      }
      if (result.signals.interrupted) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  absl::Status Validate(int64_t step) {
    const int64_t every = train_.validation().every_steps();
    if (validation_ == nullptr || !((every > 0 && step % every == 0) || step == total_steps_)) return absl::OkStatus();
    const absl::Time start = absl::Now();
    ASSIGN_OR_RETURN(const double loss, validation_->Loss(comm_));
    if (leader_) stage_.ReportMetric("validation_loss", loss, step);
    speed_since_ += absl::Now() - start;  // not part of the training's speed
    return absl::OkStatus();
  }

  void Report(int64_t step, double rate, const StepResult& result) {
    stage_.ReportMetric("loss", result.loss, step);
    stage_.ReportMetric("learning_rate", rate, step);
    stage_.ReportMetric("grad_norm", result.grad_norm, step);
    ++speed_steps_;
    if (const int64_t every = train_.logging().every_steps(); step % every == 0 || step == total_steps_) {
      const absl::Time now = absl::Now();
      tokens_per_second_ =
          static_cast<double>(speed_steps_ * tokens_per_step_) / absl::ToDoubleSeconds(now - speed_since_);
      stage_.ReportMetric("time.tokens_per_second", tokens_per_second_, step);
      double total = 0;
      std::map<Op, double> seconds = runner_->TakeSeconds();
      for (const auto& [op, spent] : seconds) total += spent;
      stage_.ReportMetric("time.share_of_waiting_for_peers", seconds[Op::kAllReduce] / total, step);
      speed_since_ = now;
      speed_steps_ = 0;
    }
    std::string detail = absl::StrFormat("loss %.2f  lr %.2e", result.loss, rate);
    if (tokens_per_second_ > 0)
      absl::StrAppend(&detail, "  ", FormatGrouped(static_cast<int64_t>(tokens_per_second_)), " tok/s");
    stage_.ReportProgress(static_cast<double>(step), static_cast<double>(total_steps_), "steps", detail);
  }

  absl::Status Finish() {
    if (last_loss_.has_value()) stage_.ReportMetric("loss", *last_loss_);
    stage_.ReportMetric("parameters", static_cast<double>(state_->num_parameters()));
    stage_.ReportMetric("tokens", static_cast<double>(total_steps_ * tokens_per_step_));
    ASSIGN_OR_RETURN(const std::string folder, stage_.OutputPath("hugging_face"));
    HuggingFaceExtras extras;
    extras.bos_token_id = extras.eos_token_id = order_->eos_id();
    std::vector<ExportedTensor> tensors;
    for (const TrainState::Tensor& tensor : state_->tensors()) tensors.push_back({tensor.spec.name, tensor.spec.shape});
    const auto append = [this](const std::string& name, SafetensorsWriter& writer) {
      const TrainState::Tensor& tensor = state_->tensors()[state_->IndexOf(name)];
      writer.Append({reinterpret_cast<const char*>(tensor.values), tensor.elements * sizeof(float)});
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(WriteHuggingFaceModel(folder, config_, extras, tensors, append));
    ASSIGN_OR_RETURN(const std::string tokenizer, stage_.InputPath("tokenizer"));
    for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
      const std::string from = JoinPath(tokenizer, name);
      if (!FileExists(from)) continue;
      ASSIGN_OR_RETURN(const std::string content, ReadFile(from));
      RETURN_IF_ERROR(WriteFile(JoinPath(folder, name), content));
    }
    return absl::OkStatus();
  }

  Stage& stage_;
  const Train& train_;
  Comm& comm_;
  const std::function<bool()>& interrupted_;
  const bool leader_;

  ModelConfig config_;
  std::optional<data::BatchOrder> order_;
  int64_t total_steps_ = 0;
  int64_t tokens_per_step_ = 0;
  std::vector<std::unique_ptr<Block>> model_;
  std::optional<TrainState> state_;
  std::optional<BatchLeafSource> source_;
  std::unique_ptr<StepRunner> runner_;
  std::unique_ptr<Validation> validation_;
  std::optional<CheckpointPublisher> publisher_;

  int64_t last_step_done_ = 0;
  std::optional<double> last_loss_;
  absl::Duration publish_every_;
  absl::Time published_at_;
  absl::Time speed_since_;
  int64_t speed_steps_ = 0;
  double tokens_per_second_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Comm>> JoinGang(const Stage& stage) {
  const StageGang& gang = stage.gang();
  if (gang.world_size() == 1) return std::make_unique<SingleComm>();
  GlooOptions options{.rank = gang.rank(), .world_size = gang.world_size()};
  if (gang.has_master_address()) options.master_address = gang.master_address();
  if (gang.has_master_port()) options.master_port = gang.master_port();
  if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME"); interface != nullptr) options.interface = interface;
  options.timeout = absl::Seconds(gang.collective_timeout_seconds());
  if (options.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the gang's collective_timeout_seconds is ", gang.collective_timeout_seconds(), ", not above 0"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Comm> comm, NewGlooComm(options));
  return NewSharedMemoryComm(std::move(comm));
}

absl::Status RunTrain(Stage& stage, const Train& parameters, Comm& comm, const std::function<bool()>& interrupted) {
  return Training(stage, parameters, comm, interrupted).Run();
}

}  // namespace millrace::trainer
