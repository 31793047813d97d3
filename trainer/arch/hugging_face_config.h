// A model as Hugging Face's config.json (model_type "llama"), written and read.
#ifndef MILLRACE_TRAINER_ARCH_HUGGING_FACE_CONFIG_H_
#define MILLRACE_TRAINER_ARCH_HUGGING_FACE_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainer/arch/model_config.h"

namespace millrace::trainer {

// What config.json says besides the model's shape.
struct HuggingFaceExtras {
  std::optional<int64_t> bos_token_id;
  std::optional<int64_t> eos_token_id;
  std::string torch_dtype = "float32";  // of the weights beside it
};

// The text of config.json, ending with a newline; the same bytes for the same arguments.
std::string ToHuggingFaceConfigJson(const ModelConfig& config, const HuggingFaceExtras& extras);

// Reads the text of a config.json. InvalidArgument, with every reason at once: not JSON, a missing size, another
// model_type, or a field that would change what the model computes and that is not supported (attention_bias,
// rope_scaling other than linear, ...), named with its value. A field that is not known is refused too, since it could
// be one of these; those that say nothing about the computation (architectures, use_cache, ...) are passed over.
absl::StatusOr<ModelConfig> FromHuggingFaceConfigJson(absl::string_view json, HuggingFaceExtras* extras = nullptr);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_ARCH_HUGGING_FACE_CONFIG_H_
