#include "trainer/runtime/train_state.h"

#include <algorithm>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "trainer/model/model.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kAlignment = 16;  // elements: a cache line

std::string ShapeName(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

}  // namespace

TrainState::TrainState(const std::vector<std::unique_ptr<Block>>& model, bool with_moments) {
  int64_t total = 0;
  std::vector<int64_t> offsets;
  for (ParameterSpec& spec : ModelParameters(model)) {
    Tensor tensor;
    tensor.elements = 1;
    for (const int64_t size : spec.shape) tensor.elements *= size;
    tensor.spec = std::move(spec);
    offsets.push_back(total);
    total += (tensor.elements + kAlignment - 1) / kAlignment * kAlignment;
    num_parameters_ += tensor.elements;
    index_of_[tensor.spec.name] = static_cast<int>(tensors_.size());
    tensors_.push_back(std::move(tensor));
  }
  for (int i = 0; i < (with_moments ? 3 : 1); ++i) memory_.push_back(at::empty({total}, at::kFloat));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Tensor& tensor = tensors_[i];
    tensor.weights = memory_[0].narrow(0, offsets[i], tensor.elements).view(tensor.spec.shape);
    tensor.values = memory_[0].data_ptr<float>() + offsets[i];
    if (!with_moments) continue;
    tensor.adam_m = memory_[1].data_ptr<float>() + offsets[i];
    tensor.adam_v = memory_[2].data_ptr<float>() + offsets[i];
  }
}

std::map<std::string, at::Tensor> TrainState::NamedWeights() const {
  std::map<std::string, at::Tensor> weights;
  for (const Tensor& tensor : tensors_) weights[tensor.spec.name] = tensor.weights;
  return weights;
}

std::vector<std::string> TrainState::Names() const {
  std::vector<std::string> names;
  for (const Tensor& tensor : tensors_) names.push_back(tensor.spec.name);
  return names;
}

void TrainState::Initialize(uint64_t seed) {
  for (Tensor& tensor : tensors_) {
    InitializeRange(tensor.spec, seed, 0, tensor.elements, tensor.values);
    if (tensor.adam_m != nullptr) std::fill(tensor.adam_m, tensor.adam_m + tensor.elements, 0.0f);
    if (tensor.adam_v != nullptr) std::fill(tensor.adam_v, tensor.adam_v + tensor.elements, 0.0f);
  }
}

std::vector<TrainState::Part> TrainState::Parts() const {
  std::vector<Part> parts = {{"weights/", &Tensor::values}};
  if (memory_.size() > 1) {
    parts.push_back({"adam_m/", &Tensor::adam_m});
    parts.push_back({"adam_v/", &Tensor::adam_v});
  }
  return parts;
}

absl::Status TrainState::Load(const CheckpointReader& checkpoint) {
  for (const Part& part : Parts()) {
    for (Tensor& tensor : tensors_) {
      const std::string name = part.prefix + tensor.spec.name;
      const CheckpointTensor* found = checkpoint.Find(name);
      if (found == nullptr || found->shape != tensor.spec.shape) {
        return absl::FailedPreconditionError(
            absl::StrCat("the checkpoint of step ", checkpoint.index().step, " is of another model: \"", name, "\" is ",
                         found == nullptr ? std::string("missing") : ShapeName(found->shape), ", the model has ",
                         ShapeName(tensor.spec.shape)));
      }
      RETURN_IF_ERROR(checkpoint.Read(name, 0, absl::MakeSpan(tensor.*part.memory, tensor.elements)));
    }
  }
  for (const CheckpointTensor& tensor : checkpoint.index().tensors) {
    const size_t slash = tensor.name.find('/');
    if (slash == std::string::npos || index_of_.count(tensor.name.substr(slash + 1)) == 0) {
      return absl::FailedPreconditionError(absl::StrCat("the checkpoint of step ", checkpoint.index().step,
                                                        " is of another model: this one has no \"", tensor.name, "\""));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckpointIndex> TrainState::NewIndex(int64_t step, std::string model_json, int64_t range_bytes) const {
  std::vector<CheckpointTensor> tensors;
  for (const Part& part : Parts()) {
    for (const Tensor& tensor : tensors_) tensors.push_back({part.prefix + tensor.spec.name, tensor.spec.shape});
  }
  return NewCheckpointIndex(step, std::move(model_json), std::move(tensors), range_bytes);
}

absl::Status TrainState::WriteRange(const std::string& folder, const CheckpointIndex& index, int64_t range) const {
  const std::vector<Part> parts = Parts();
  return trainer::WriteRange(folder, index, range, [&](size_t i) {
    for (const Part& part : parts) {
      const std::string& name = index.tensors[i].name;
      if (name.compare(0, part.prefix.size(), part.prefix) != 0) continue;
      const Tensor& tensor = tensors_[index_of_.at(name.substr(part.prefix.size()))];
      return absl::MakeConstSpan(tensor.*part.memory, tensor.elements);
    }
    MILLRACE_CHECK(false);  // the index is NewIndex's
    return absl::Span<const float>();
  });
}

}  // namespace millrace::trainer
