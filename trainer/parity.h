// What this trainer computes for a published model, for comparison with another implementation: loss, logits,
// gradients, and a short training run. In float32; the way is the one that training takes (blocks, schedule, exact
// gradient sums), whatever the number of ranks.
#ifndef MILLRACE_TRAINER_PARITY_H_
#define MILLRACE_TRAINER_PARITY_H_

#include <string>

#include "absl/status/status.h"

namespace millrace::trainer {

// `case_folder` holds
//   config.json, model.safetensors   a model as Hugging Face keeps it (float32, bfloat16 or float16 weights)
//   inputs.safetensors               input_ids [B, S], labels [B, S] (int64; -100: ignored; position t is predicted
//   from
//                                    t - 1), train_ids [steps, B, S]
//   expected.json                    of it only "optimizer" is read: lr, betas, eps, weight_decay (of all parameters),
//                                    clip_grad_norm; absent: 1e-3, (0.9, 0.95), 1e-8, 0.1, 1
// Writes into `out_folder`
//   result.json                      loss, grad_norms by tensor, loss_curve, grad_norm_curve (before clipping),
//                                    final_param_norms by tensor
//   logits.safetensors               logits [B, S, V] float32
// `ranks` ranks are threads of this process.
//   InvalidArgument: another architecture than a dense DeepSeek LLM (it is named), or a broken file. NotFound: a file
//   is missing.
absl::Status RunParity(const std::string& case_folder, const std::string& out_folder, int ranks);

}  // namespace millrace::trainer

#endif  // MILLRACE_TRAINER_PARITY_H_
