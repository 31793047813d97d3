#include "trainer/eval/load_model.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/util/json_util.h"
#include "pipelines/schema/model.pb.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/runtime/train_state.h"

namespace millrace::trainer {
namespace {

absl::StatusOr<ModelConfig> ConfigOf(const CheckpointIndex& index) {
  Model model;
  const auto parsed = google::protobuf::util::JsonStringToMessage(index.model_json, &model);
  if (!parsed.ok()) return absl::DataLossError(std::string(parsed.message()));
  const absl::StatusOr<ModelConfig> config = ModelConfigFromProto(model);
  if (!config.ok()) return absl::DataLossError(config.status().message());
  return config;
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const std::string& folder) {
  ASSIGN_OR_RETURN(const CheckpointReader checkpoint, CheckpointReader::Open(folder));
  const absl::StatusOr<ModelConfig> config = ConfigOf(checkpoint.index());
  if (!config.ok()) return Annotate(config.status(), absl::StrCat(folder, "/checkpoint.json: model"));
  TrainState state(BuildModel(*config, /*loss_chunk_tokens=*/1, /*max_positions=*/1), /*with_moments=*/false);
  RETURN_IF_ERROR(Annotate(state.Load(checkpoint), folder));
  return LoadedModel{*config, state.NamedWeights(), checkpoint.index().step};
}

}  // namespace millrace::trainer
