#include "trainer/safetensors/hugging_face_model.h"

#include <utility>

#include "base/file.h"
#include "base/status_macros.h"

namespace millrace::trainer {

absl::StatusOr<HuggingFaceModel> OpenHuggingFaceModel(const std::string& folder) {
  HuggingFaceModel model;
  const std::string path = JoinPath(folder, "config.json");
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  absl::StatusOr<ModelConfig> config = FromHuggingFaceConfigJson(json, &model.extras);
  if (!config.ok()) return Annotate(config.status(), path);
  model.config = *config;
  ASSIGN_OR_RETURN(model.weights, SafetensorsReader::Open(folder));
  return model;
}

absl::Status WriteHuggingFaceModel(const std::string& folder, const ModelConfig& config,
                                   const HuggingFaceExtras& extras, const std::vector<ExportedTensor>& tensors,
                                   const AppendTensor& append) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const ExportedTensor& tensor : tensors) entries.push_back({tensor.name, DType::kF32, tensor.shape});
  RETURN_IF_ERROR(WriteFile(JoinPath(folder, "config.json"), ToHuggingFaceConfigJson(config, extras)));
  // transformers asks for this entry.
  ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Create(JoinPath(folder, "model.safetensors"),
                                                                       std::move(entries), {{"format", "pt"}}));
  while (writer.next() != nullptr) {
    const std::string name = writer.next()->name;
    RETURN_IF_ERROR(append(name, writer));
    if (writer.next() != nullptr && writer.next()->name == name) {
      return absl::InternalError(absl::StrCat("tensor \"", name, "\" was not written in full"));
    }
  }
  return writer.Close();
}

}  // namespace millrace::trainer
