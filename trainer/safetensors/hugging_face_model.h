// A model as Hugging Face keeps it: a folder with config.json and model.safetensors (or shards with an index).
// `transformers` loads what is written here as it is; a tokenizer's files are put beside them by whoever has one.
#ifndef MILLRACE_TRAINER_SAFETENSORS_HUGGING_FACE_MODEL_H_
#define MILLRACE_TRAINER_SAFETENSORS_HUGGING_FACE_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/arch/hugging_face_config.h"
#include "trainer/arch/model_config.h"
#include "trainer/safetensors/safetensors.h"

namespace millrace::trainer {

struct HuggingFaceModel {
  ModelConfig config;
  HuggingFaceExtras extras;
  SafetensorsReader weights;
};

// Reads config.json and opens the weights; what is in them is not looked at. NotFound: a file is missing.
// InvalidArgument: an architecture that is not supported (named), or a broken file.
absl::StatusOr<HuggingFaceModel> OpenHuggingFaceModel(const std::string& folder);

// A tensor to be written, and who appends its bytes (float32, row-major) when its turn comes.
struct ExportedTensor {
  std::string name;
  std::vector<int64_t> shape;
};
using AppendTensor = std::function<absl::Status(const std::string& name, SafetensorsWriter& writer)>;

// Writes config.json and model.safetensors (float32) into `folder`, which exists. Tensors are asked for in name order.
// The same model gives the same bytes.
absl::Status WriteHuggingFaceModel(const std::string& folder, const ModelConfig& config,
                                   const HuggingFaceExtras& extras, const std::vector<ExportedTensor>& tensors,
                                   const AppendTensor& append);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_SAFETENSORS_HUGGING_FACE_MODEL_H_
