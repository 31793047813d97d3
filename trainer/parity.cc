#include "trainer/parity.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "trainer/comm/thread_comm.h"
#include "trainer/model/model.h"
#include "trainer/optim/norm.h"
#include "trainer/runtime/leaf_source.h"
#include "trainer/runtime/step_runner.h"
#include "trainer/runtime/train_state.h"
#include "trainer/safetensors/hugging_face_model.h"

namespace millrace::trainer {
namespace {

using nlohmann::json;

constexpr int kLossChunkTokens = 1024;

struct Batches {
  int64_t sequences = 0, length = 0, steps = 0;
  std::vector<int64_t> input_ids_BS, labels_BS, train_ids_NBS;
};

absl::StatusOr<std::vector<int64_t>> ReadIds(const SafetensorsReader& reader, const std::string& name,
                                             std::vector<int64_t> shape, int64_t vocabulary) {
  ASSIGN_OR_RETURN(const StoredTensor tensor, reader.Get(name));
  if (tensor.shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\" is [", absl::StrJoin(tensor.shape, ", "),
                                                   "], expected [", absl::StrJoin(shape, ", "), "]"));
  }
  std::vector<int64_t> values(tensor.elements());
  RETURN_IF_ERROR(reader.ReadInts(name, tensor.elements(), values.data()));
  for (int64_t value : values) {
    if (value >= vocabulary || (value < 0 && !(name == "labels" && value == -100))) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", name, "\": id ", value, " is not in the vocabulary of ", vocabulary));
    }
  }
  return values;
}

absl::StatusOr<Batches> ReadBatches(const std::string& path, const ModelConfig& config) {
  ASSIGN_OR_RETURN(const SafetensorsReader reader, SafetensorsReader::Open(path));
  ASSIGN_OR_RETURN(const StoredTensor train, reader.Get("train_ids"));
  if (train.shape.size() != 3 || train.shape[2] > config.max_position_embeddings) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"train_ids\" is [", absl::StrJoin(train.shape, ", "),
                                                   "], expected [steps, sequences, at most ",
                                                   config.max_position_embeddings, " positions]"));
  }
  Batches batches;
  batches.steps = train.shape[0];
  batches.sequences = train.shape[1];
  batches.length = train.shape[2];
  const std::vector<int64_t> shape = {batches.sequences, batches.length};
  ASSIGN_OR_RETURN(batches.input_ids_BS, ReadIds(reader, "input_ids", shape, config.vocab_size));
  ASSIGN_OR_RETURN(batches.labels_BS, ReadIds(reader, "labels", shape, config.vocab_size));
  ASSIGN_OR_RETURN(batches.train_ids_NBS, ReadIds(reader, "train_ids", train.shape, config.vocab_size));
  return batches;
}

// Each sequence is a leaf. Step 0 is the batch with labels of its own, steps 1... those of train_ids.
class BatchLeaves : public LeafSource {
 public:
  explicit BatchLeaves(const Batches& batches) : batches_(batches) {}

  absl::Status BeginStep(int64_t step) override {
    const int64_t batch_ids = batches_.sequences * batches_.length;
    ids_BS_ = step == 0 ? batches_.input_ids_BS.data() : batches_.train_ids_NBS.data() + (step - 1) * batch_ids;
    labels_BS_ = step == 0 ? batches_.labels_BS.data() : ids_BS_;
    int64_t targets = 0;
    for (int64_t s = 0; s < batches_.sequences; ++s) {
      for (int64_t t = 1; t < batches_.length; ++t) targets += labels_BS_[s * batches_.length + t] >= 0;
    }
    loss_divisor_ = static_cast<double>(targets) / static_cast<double>(batches_.sequences);
    return absl::OkStatus();
  }

  double loss_divisor() const override { return loss_divisor_; }

  absl::Status Load(int64_t index, Leaf& leaf) override {
    const int64_t length = batches_.length;
    leaf.sequences = 1;
    leaf.length = length;
    leaf.loss_divisor = loss_divisor_;
    if (!leaf.ids_M.defined()) {
      leaf.ids_M = at::empty({length}, at::kLong);
      leaf.targets_M = at::empty({length}, at::kLong);
      leaf.positions_M = at::arange(length, at::kInt);
    }
    int64_t* ids = leaf.ids_M.mutable_data_ptr<int64_t>();
    int64_t* targets = leaf.targets_M.mutable_data_ptr<int64_t>();
    for (int64_t t = 0; t < length; ++t) {
      ids[t] = ids_BS_[index * length + t];
      targets[t] = t + 1 < length ? std::max<int64_t>(labels_BS_[index * length + t + 1], -1) : -1;
    }
    return absl::OkStatus();
  }

 private:
  const Batches& batches_;
  const int64_t* ids_BS_ = nullptr;
  const int64_t* labels_BS_ = nullptr;
  double loss_divisor_ = 1;
};

struct OptimizerSettings {
  double learning_rate = 1e-3;
  StepOptions options;
};

absl::StatusOr<OptimizerSettings> ReadOptimizer(const std::string& path, int64_t sequences) {
  OptimizerSettings settings;
  settings.options.num_leaves = sequences;
  settings.options.decay_norms_and_biases = true;
  if (!FileExists(path)) return settings;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const json expected = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!expected.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": is not a JSON object"));
  if (!expected.contains("optimizer")) return settings;
  const json& optimizer = expected["optimizer"];
  const auto number = [&](const char* name, double& value) {
    if (optimizer.contains(name) && optimizer[name].is_number()) value = optimizer[name].get<double>();
  };
  number("lr", settings.learning_rate);
  number("eps", settings.options.epsilon);
  number("weight_decay", settings.options.weight_decay);
  number("clip_grad_norm", settings.options.max_grad_norm);
  if (optimizer.contains("betas") && optimizer["betas"].is_array() && optimizer["betas"].size() == 2 &&
      optimizer["betas"][0].is_number() && optimizer["betas"][1].is_number()) {
    settings.options.beta1 = optimizer["betas"][0].get<double>();
    settings.options.beta2 = optimizer["betas"][1].get<double>();
  }
  return settings;
}

double Norm(const float* values, int64_t count) {
  std::vector<double> sums(NormBlocks(count));
  SumOfSquaresBlocks(count, values, sums.data());
  double total = 0;
  for (double sum : sums) total += sum;
  return std::sqrt(total);
}

absl::Status LoadWeights(const SafetensorsReader& weights, TrainState& state) {
  for (const TrainState::Tensor& tensor : state.tensors()) {
    ASSIGN_OR_RETURN(const StoredTensor stored, weights.Get(tensor.spec.name));
    if (stored.shape != tensor.spec.shape) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", tensor.spec.name, "\" is [",
                                                     absl::StrJoin(stored.shape, ", "), "], config.json says [",
                                                     absl::StrJoin(tensor.spec.shape, ", "), "]"));
    }
    RETURN_IF_ERROR(weights.ReadFloats(tensor.spec.name, tensor.elements, tensor.values));
    std::fill(tensor.adam_m, tensor.adam_m + tensor.elements, 0.0f);
    std::fill(tensor.adam_v, tensor.adam_v + tensor.elements, 0.0f);
  }
  return absl::OkStatus();
}

absl::Status WriteLogits(const HuggingFaceModel& model, const TrainState& state, const Batches& batches,
                         BatchLeaves& leaves, const std::string& path) {
  const int64_t vocabulary = model.config.vocab_size;
  ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(path, {{"logits", DType::kF32, {batches.sequences, batches.length, vocabulary}}}));
  Inference inference(model.config, state.NamedWeights(), kLossChunkTokens, batches.length);
  RETURN_IF_ERROR(leaves.BeginStep(0));
  std::vector<float> logits(batches.length * vocabulary);
  Leaf leaf;
  for (int64_t s = 0; s < batches.sequences; ++s) {
    RETURN_IF_ERROR(leaves.Load(s, leaf));
    inference.Logits(leaf, 0, batches.length, logits.data());
    writer.Append(absl::string_view(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)));
  }
  return writer.Close();
}

// What each rank does; rank 0 writes.
absl::Status RunRank(const HuggingFaceModel& hugging_face, const Batches& batches, const OptimizerSettings& settings,
                     const std::string& out_folder, Comm& comm) {
  at::set_num_threads(std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / comm.world_size()));
  const auto model = BuildModel(hugging_face.config, kLossChunkTokens, batches.length);
  TrainState state(model);
  RETURN_IF_ERROR(LoadWeights(hugging_face.weights, state));
  BatchLeaves leaves(batches);
  if (comm.rank() == 0) {
    RETURN_IF_ERROR(WriteLogits(hugging_face, state, batches, leaves, JoinPath(out_folder, "logits.safetensors")));
  }
  ASSIGN_OR_RETURN(const auto runner, StepRunner::New(model, state, comm, leaves, settings.options));
  json result;
  StepResult step;
  ASSIGN_OR_RETURN(const auto gradients, runner->Gradients(0, &step));
  result["loss"] = step.loss;
  for (size_t i = 0; i < gradients.size(); ++i) {
    result["grad_norms"][state.tensors()[i].spec.name] =
        Norm(gradients[i].data(), static_cast<int64_t>(gradients[i].size()));
  }
  for (int64_t s = 1; s <= batches.steps; ++s) {
    ASSIGN_OR_RETURN(step, runner->RunStep(s, settings.learning_rate, {}));
    result["loss_curve"].push_back(step.loss);
    result["grad_norm_curve"].push_back(step.grad_norm);
  }
  for (const TrainState::Tensor& tensor : state.tensors()) {
    result["final_param_norms"][tensor.spec.name] = Norm(tensor.values, tensor.elements);
  }
  if (comm.rank() != 0) return absl::OkStatus();
  return WriteFile(JoinPath(out_folder, "result.json"), absl::StrCat(result.dump(1), "\n"));
}

}  // namespace

absl::Status RunParity(const std::string& case_folder, const std::string& out_folder, int ranks) {
  ASSIGN_OR_RETURN(const HuggingFaceModel model, OpenHuggingFaceModel(case_folder));
  const std::string inputs = JoinPath(case_folder, "inputs.safetensors");
  const absl::StatusOr<Batches> batches = ReadBatches(inputs, model.config);
  if (!batches.ok()) return Annotate(batches.status(), inputs);
  ASSIGN_OR_RETURN(const OptimizerSettings settings,
                   ReadOptimizer(JoinPath(case_folder, "expected.json"), batches->sequences));
  RETURN_IF_ERROR(CreateDirectories(out_folder));
  const std::vector<absl::Status> statuses =
      RunThreadGang(ranks, [&](Comm& comm) { return RunRank(model, *batches, settings, out_folder, comm); });
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace millrace::trainer
