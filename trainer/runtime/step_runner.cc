// The interpreter of schedules. Buffers become memory where an instruction first writes them and return to a pool at
// their release; gradient sums have a place of their own (gradient_store.h). Reductions run on a thread beside backward
// and are waited for by the norm.
#include "trainer/runtime/step_runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "trainer/model/model.h"
#include "trainer/model/parallel.h"
#include "trainer/optim/adamw.h"
#include "trainer/optim/norm.h"
#include "trainer/runtime/comm_worker.h"
#include "trainer/runtime/step_report.h"
#include "trainer/schedule/check.h"
#include "trainer/schedule/data_parallel.h"

namespace millrace::trainer {
namespace {

// Objects that are used again and again; at any time each belongs to one buffer.
template <typename T>
class Pool {
 public:
  T* Take() {
    if (free_.empty()) {
      all_.push_back(std::make_unique<T>());
      return all_.back().get();
    }
    T* object = free_.back();
    free_.pop_back();
    return object;
  }
  void Give(T* object) { free_.push_back(object); }

 private:
  std::vector<std::unique_ptr<T>> all_;
  std::vector<T*> free_;
};

using Tensors = std::vector<at::Tensor>;
using Clock = std::chrono::steady_clock;

// What a buffer is while it lives; one of them, by its kind.
struct Place {
  Leaf* batch = nullptr;
  at::Tensor* activation = nullptr;
  Saved* saved = nullptr;
  Tensors* gradients = nullptr;
};

DataParallelInput InputOf(const std::vector<std::unique_ptr<Block>>& model, const TrainState& state, const Comm& comm,
                          const StepOptions& options) {
  DataParallelInput input;
  for (const TrainState::Tensor& tensor : state.tensors()) input.tensors.push_back({tensor.spec.name, tensor.elements});
  for (const auto& block : model) {
    DataParallelInput::Block described{.name = block->name()};
    for (const ParameterSpec& parameter : block->parameters())
      described.tensors.push_back(state.IndexOf(parameter.name));
    input.blocks.push_back(std::move(described));
  }
  input.world_size = comm.world_size();
  input.num_leaves = options.num_leaves;
  input.leaves_per_micro_batch = options.leaves_per_micro_batch;
  input.recompute = options.recompute;
  input.bucket_bytes = options.bucket_bytes;
  input.gradient_sum_bytes = options.gradient_sum == GradientSum::kInt64 ? 8 : 4;
  input.zero_stage = options.zero_stage;
  input.pipeline_parallel_size = options.pipeline_parallel_size;
  return input;
}

std::vector<int64_t> ElementsOf(const TrainState& state) {
  std::vector<int64_t> elements;
  for (const TrainState::Tensor& tensor : state.tensors()) elements.push_back(tensor.elements);
  return elements;
}

class Runner : public StepRunner {
 public:
  Runner(const std::vector<std::unique_ptr<Block>>& model, TrainState& state, Comm& comm, LeafSource& source,
         const StepOptions& options, Schedule schedule, GradientStore gradients)
      : model_(model),
        state_(state),
        comm_(comm),
        source_(source),
        options_(options),
        schedule_(std::move(schedule)),
        gradients_(std::move(gradients)),
        places_(schedule_.buffers.size()) {
    const NamedTensors weights = state.NamedWeights();
    std::map<std::vector<std::vector<int64_t>>, int> classes;
    for (const auto& block : model) {
      weights_.push_back(WeightsOf(*block, weights));
      std::vector<std::vector<int64_t>> shapes;
      for (const ParameterSpec& parameter : block->parameters()) shapes.push_back(parameter.shape);
      class_of_block_.push_back(classes.emplace(shapes, static_cast<int>(classes.size())).first->second);
    }
    saved_.resize(classes.size());
    leaf_gradients_.resize(classes.size());
    for (size_t t = 0; t < state.tensors().size(); ++t) name_order_.push_back(static_cast<int>(t));
    if (comm.world_size() > 1 && schedule_.buckets.size() > 1) worker_ = std::make_unique<CommWorker>();
  }

  const Schedule& schedule() const override { return schedule_; }

  std::map<Op, double> TakeSeconds() override { return std::exchange(seconds_, {}); }

  absl::StatusOr<StepResult> RunStep(int64_t step, double learning_rate, const StepSignals& signals) override {
    return Run(step, learning_rate, signals, /*update=*/true);
  }

  absl::StatusOr<std::vector<std::vector<float>>> Gradients(int64_t step, StepResult* result) override {
    ASSIGN_OR_RETURN(*result, Run(step, 0, {}, /*update=*/false));
    std::vector<std::vector<float>> all;
    for (size_t t = 0; t < state_.tensors().size(); ++t) {
      const int64_t elements = state_.tensors()[t].elements;
      std::vector<float>& values = all.emplace_back();
      for (int64_t b = 0; b < NormBlocks(elements); ++b) {
        const float* mean = gradients_.MeanBlock(static_cast<int>(t), b);
        values.insert(values.end(), mean, mean + std::min(kGradientBlock, elements - b * kGradientBlock));
      }
    }
    return all;
  }

 private:
  absl::StatusOr<StepResult> Run(int64_t step, double learning_rate, const StepSignals& signals, bool update) {
    step_ = step;
    learning_rate_ = learning_rate;
    signals_ = signals;
    update_ = update;
    RETURN_IF_ERROR(source_.BeginStep(step));
    absl::Status status;
    auto before = Clock::now();
    for (const Instruction& instruction : schedule_.ranks[comm_.rank()]) {
      status = Execute(instruction);
      const auto after = Clock::now();
      seconds_[instruction.op] += std::chrono::duration<double>(after - before).count();
      before = after;
      if (!status.ok()) break;
    }
    // No reduction may be under way when the caller goes on, whatever happened.
    if (worker_ != nullptr) {
      const absl::Status reduced = worker_->Wait();
      if (status.ok()) status = reduced;
    }
    if (!status.ok()) {
      ReleaseAll();
      return Annotate(status, absl::StrCat("step ", step));
    }
    return result_;
  }

  absl::Status Execute(const Instruction& instruction) {
    switch (instruction.op) {
      case Op::kLoad: {
        Leaf* leaf = places_[instruction.writes[0]].batch = batches_.Take();
        return source_.Load(instruction.leaf, *leaf);
      }
      case Op::kForward:
        Forward(instruction);
        return absl::OkStatus();
      case Op::kBackward:
        Backward(instruction);
        return absl::OkStatus();
      case Op::kZero:
        gradients_.Zero(schedule_.units[instruction.unit]);
        if (schedule_.units[instruction.unit].weights < 0) BeginReport();
        return absl::OkStatus();
      case Op::kAccumulate:
        schedule_.units[instruction.unit].weights < 0 ? AccumulateLoss(instruction) : Accumulate(instruction);
        return absl::OkStatus();
      case Op::kAllReduce:
        return AllReduce(instruction.bucket);
      case Op::kNorm:
        return Norm();
      case Op::kStep:
        if (update_) Step(schedule_.units[instruction.unit]);
        return absl::OkStatus();
      case Op::kRelease:
        for (const int id : instruction.reads) Release(id);
        return absl::OkStatus();
      case Op::kReduceScatter:
      case Op::kGather:
      case Op::kSend:
      case Op::kReceive:
        break;
    }
    return absl::UnimplementedError(absl::StrCat("the runtime does not execute ", std::string(OpName(instruction.op))));
  }

  // The buffer of this kind among `ids`, or -1.
  int Find(const std::vector<int>& ids, BufferKind kind) const {
    for (const int id : ids) {
      if (schedule_.buffers[id].kind == kind) return id;
    }
    return -1;
  }

  at::Tensor& Activation(int id) { return id < 0 ? none_ : *places_[id].activation; }

  Pool<at::Tensor>& ActivationPool(int id) {
    return schedule_.buffers[id].kind == BufferKind::kScalar ? losses_ : activations_;
  }

  int TakeActivation(int id) {
    if (id >= 0) places_[id].activation = ActivationPool(id).Take();
    return id;
  }

  void Forward(const Instruction& instruction) {
    const int b = instruction.block;
    const int in = Find(instruction.reads, BufferKind::kActivation);
    const int out = TakeActivation(instruction.writes[0]), saved = instruction.writes[1];
    places_[saved].saved = saved_[class_of_block_[b]].Take();
    model_[b]->Forward(weights_[b], *places_[Find(instruction.reads, BufferKind::kBatch)].batch, Activation(in),
                       Activation(out), *places_[saved].saved);
  }

  void Backward(const Instruction& instruction) {
    const int b = instruction.block;
    const int in = Find(instruction.reads, BufferKind::kActivation);
    const int grad_out = Find(instruction.reads, BufferKind::kActivationGradient);
    const int grad_in = TakeActivation(Find(instruction.writes, BufferKind::kActivationGradient));
    const int gradients = Find(instruction.writes, BufferKind::kLeafGradient);
    Tensors* tensors = places_[gradients].gradients = leaf_gradients_[class_of_block_[b]].Take();
    if (tensors->empty()) {
      for (const ParameterSpec& parameter : model_[b]->parameters())
        tensors->push_back(at::empty(parameter.shape, at::kFloat));
    }
    model_[b]->Backward(weights_[b], *places_[Find(instruction.reads, BufferKind::kBatch)].batch, Activation(in),
                        Activation(grad_out), Activation(grad_in), *tensors,
                        *places_[Find(instruction.reads, BufferKind::kSaved)].saved);
  }

  void BeginReport() {
    StepReport report(gradients_.report());
    if (signals_.interrupted) report.SetInterrupted();
    if (signals_.checkpoint_wanted) report.SetCheckpointWanted();
  }

  void AccumulateLoss(const Instruction& instruction) {
    StepReport report(gradients_.report());
    if (instruction.overwrite) {
      gradients_.Zero(schedule_.units[instruction.unit]);
      BeginReport();
    }
    const float loss = *places_[instruction.reads[0]].activation->const_data_ptr<float>();
    if (!report.AddLoss(loss, options_.num_leaves)) report.SetBadLoss(comm_.rank());
  }

  void Accumulate(const Instruction& instruction) {
    const Block& block = *model_[instruction.block];
    const Unit& unit = schedule_.units[instruction.unit];
    const Tensors& from = *places_[instruction.reads[0]].gradients;
    for (size_t i = 0; i < block.parameters().size(); ++i) {
      const int tensor = state_.IndexOf(block.parameters()[i].name);
      if (std::find(unit.tensors.begin(), unit.tensors.end(), tensor) == unit.tensors.end()) continue;
      if (gradients_.Accumulate(tensor, from[i].const_data_ptr<float>(), instruction.overwrite)) continue;
      StepReport(gradients_.report()).SetBadTensor(comm_.rank(), tensor);
    }
  }

  absl::Status AllReduce(int bucket) {
    if (comm_.world_size() == 1) return absl::OkStatus();
    if (worker_ == nullptr) return gradients_.AllReduce(bucket, comm_);
    worker_->Start([this, bucket] { return gradients_.AllReduce(bucket, comm_); });
    return absl::OkStatus();
  }

  absl::Status Norm() {
    if (worker_ != nullptr) {
      const auto before = Clock::now();
      RETURN_IF_ERROR(worker_->Wait());
      const double waited = std::chrono::duration<double>(Clock::now() - before).count();
      seconds_[Op::kAllReduce] += waited;
      seconds_[Op::kNorm] -= waited;
    }
    StepReport report(gradients_.report());
    RETURN_IF_ERROR(report.ToStatus(step_, state_.Names()));
    result_.loss = report.loss_sum() / (source_.loss_divisor() * static_cast<double>(options_.num_leaves));
    result_.signals = {report.interrupted(), report.checkpoint_wanted()};
    result_.grad_norm = gradients_.FinishAndNorm(name_order_);
    if (!std::isfinite(result_.grad_norm))
      return absl::InternalError(absl::StrCat("the norm of the gradient is ", result_.grad_norm));
    clip_ = ClipFactor(result_.grad_norm, options_.max_grad_norm);
    return absl::OkStatus();
  }

  void Step(const Unit& unit) {
    for (const int t : unit.tensors) {
      const TrainState::Tensor& tensor = state_.tensors()[t];
      ParallelRange(NormBlocks(tensor.elements), 8, [&](int64_t first, int64_t last) {
        for (int64_t b = first; b < last; ++b) StepBlock(t, tensor, b);
      });
    }
  }

  void StepBlock(int t, const TrainState::Tensor& tensor, int64_t block) {
    const int64_t begin = block * kGradientBlock, count = std::min(kGradientBlock, tensor.elements - begin);
    AdamWOptions adamw{.learning_rate = learning_rate_,
                       .beta1 = options_.beta1,
                       .beta2 = options_.beta2,
                       .epsilon = options_.epsilon,
                       .step = step_,
                       .gradient_scale = clip_};
    if (tensor.spec.is_matrix || options_.decay_norms_and_biases) adamw.weight_decay = options_.weight_decay;
    AdamWStep(adamw, count, gradients_.MeanBlock(t, block), tensor.values + begin, tensor.adam_m + begin,
              tensor.adam_v + begin);
  }

  void Release(int id) {
    Place& place = places_[id];
    if (place.batch != nullptr) batches_.Give(place.batch);
    if (place.activation != nullptr) ActivationPool(id).Give(place.activation);
    if (place.saved != nullptr) saved_[ClassOf(id)].Give(place.saved);
    if (place.gradients != nullptr) leaf_gradients_[ClassOf(id)].Give(place.gradients);
    place = {};
  }

  void ReleaseAll() {
    for (size_t id = 0; id < places_.size(); ++id) Release(static_cast<int>(id));
  }

  int ClassOf(int id) {
    if (class_of_buffer_.empty()) {
      class_of_buffer_.assign(places_.size(), -1);
      for (const Instruction& instruction : schedule_.ranks[comm_.rank()]) {
        if (instruction.block < 0) continue;
        for (const int written : instruction.writes) {
          const BufferKind kind = schedule_.buffers[written].kind;
          if (kind == BufferKind::kSaved || kind == BufferKind::kLeafGradient)
            class_of_buffer_[written] = class_of_block_[instruction.block];
        }
      }
    }
    return class_of_buffer_[id];
  }

  const std::vector<std::unique_ptr<Block>>& model_;
  TrainState& state_;
  Comm& comm_;
  LeafSource& source_;
  const StepOptions options_;
  const Schedule schedule_;
  GradientStore gradients_;
  std::vector<Tensors> weights_;  // by block
  // Blocks whose parameters have the same shapes share what they save and their leaf gradients.
  std::vector<int> class_of_block_, class_of_buffer_;
  std::vector<int> name_order_;

  std::vector<Place> places_;  // by buffer
  Pool<Leaf> batches_;
  Pool<at::Tensor> activations_;  // and their gradients: all M x H
  Pool<at::Tensor> losses_;
  at::Tensor none_;  // what the first and the last block ignore
  std::vector<Pool<Saved>> saved_;
  std::vector<Pool<Tensors>> leaf_gradients_;

  // Of the step that runs.
  int64_t step_ = 0;
  double learning_rate_ = 0;
  StepSignals signals_;
  bool update_ = true;
  double clip_ = 1;
  StepResult result_;

  std::map<Op, double> seconds_;
  std::unique_ptr<CommWorker> worker_;  // last: it ends before what it uses
};

}  // namespace

absl::StatusOr<std::unique_ptr<StepRunner>> StepRunner::New(const std::vector<std::unique_ptr<Block>>& model,
                                                            TrainState& state, Comm& comm, LeafSource& source,
                                                            const StepOptions& options) {
  ASSIGN_OR_RETURN(Schedule schedule, CompileDataParallel(InputOf(model, state, comm, options)));
  RETURN_IF_ERROR(CheckSchedule(schedule));
  ASSIGN_OR_RETURN(GradientStore gradients,
                   GradientStore::New(schedule, ElementsOf(state), options.gradient_sum, comm));
  return std::make_unique<Runner>(model, state, comm, source, options, std::move(schedule), std::move(gradients));
}

}  // namespace millrace::trainer
