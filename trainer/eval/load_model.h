// The weights of a CHECKPOINT, for whoever only evaluates them.
#ifndef MILLRACE_TRAINER_EVAL_LOAD_MODEL_H_
#define MILLRACE_TRAINER_EVAL_LOAD_MODEL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/arch/model_config.h"
#include "trainer/model/model.h"

namespace millrace::trainer {

struct LoadedModel {
  ModelConfig config;
  NamedTensors weights;  // float32, by Hugging Face's names; without the optimizer's moments
  int64_t step = 0;      // after which the checkpoint was taken
};

// The errors of CheckpointReader::Open; DataLoss: the index holds no model that could have been trained;
// FailedPrecondition: its tensors are not those of its model.
absl::StatusOr<LoadedModel> LoadModel(const std::string& folder);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_EVAL_LOAD_MODEL_H_
