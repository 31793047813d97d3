#include "trainer/eval/sampling.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "trainer/model/initialize.h"

namespace millrace::trainer {
namespace {

// nlohmann's writer replaces what is not UTF-8.
std::string ToUtf8(const std::string& bytes) {
  using Json = nlohmann::json;
  const std::string quoted = Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(quoted).get<std::string>();
}

absl::StatusOr<std::vector<uint32_t>> ContextOf(const std::string& prompt, const data::Tokenizer& tokenizer,
                                                uint32_t eos_id, int64_t vocab_size) {
  std::vector<uint32_t> context = {eos_id};
  const std::vector<uint32_t> ids = tokenizer.Encode(prompt, data::SpecialTokens::kAsText);
  context.insert(context.end(), ids.begin(), ids.end());
  const uint32_t largest = *std::max_element(context.begin(), context.end());
  if (largest >= vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt \"", prompt, "\" has the id ", largest,
                                                   ", the model's vocabulary has ", vocab_size,
                                                   "\n  why: the model was trained with another tokenizer"
                                                   "\n  fix: the tokenizer that the model was trained with"));
  }
  return context;
}

absl::StatusOr<std::string> Continue(const SampleRequest& request, const data::Tokenizer& tokenizer, uint64_t seed,
                                     const ModelConfig& config, Inference& inference,
                                     const std::function<bool()>& stop) {
  const uint32_t eos_id = *tokenizer.eos_id();
  ASSIGN_OR_RETURN(std::vector<uint32_t> ids, ContextOf(request.prompt, tokenizer, eos_id, config.vocab_size));
  const size_t prompt_ids = ids.size();
  const CounterRandom random(seed, absl::StrCat("sample ", request.index, " ", request.prompt));
  std::vector<float> logits(config.vocab_size);
  for (int64_t token = 0; token < request.max_new_tokens; ++token) {
    if (stop()) return absl::CancelledError("interrupted");
    const int64_t length = std::min<int64_t>(ids.size(), config.max_position_embeddings);
    const Leaf leaf = NewLeaf(1, length);
    std::copy(ids.end() - length, ids.end(), leaf.ids_M.mutable_data_ptr<int64_t>());
    inference.Logits(leaf, length - 1, 1, logits.data());
    if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) {
      return absl::FailedPreconditionError(absl::StrCat("the logits after \"", request.prompt, "\" are not finite",
                                                        "\n  why: the model's weights are not, or too large"
                                                        "\n  fix: look at the training loss"));
    }
    const uint32_t next = ChooseToken(logits, request.temperature, random.Uniform(token));
    if (next == eos_id) break;
    ids.push_back(next);
  }
  return ToUtf8(tokenizer.Decode(absl::MakeConstSpan(ids).subspan(prompt_ids)));
}

}  // namespace

uint32_t ChooseToken(absl::Span<const float> logits, double temperature, double uniform) {
  const auto likeliest = std::max_element(logits.begin(), logits.end());  // the first of equals
  if (temperature == 0) return likeliest - logits.begin();
  std::vector<double> sum_to(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    sum += std::exp((static_cast<double>(logits[i]) - *likeliest) / temperature);
    sum_to[i] = sum;
  }
  const auto chosen = std::upper_bound(sum_to.begin(), sum_to.end(), uniform * sum);
  // uniform * sum may round to the sum itself: then the last that has any probability.
  return (chosen == sum_to.end() ? std::lower_bound(sum_to.begin(), sum_to.end(), sum) : chosen) - sum_to.begin();
}

absl::StatusOr<std::vector<std::string>> Sample(const std::vector<SampleRequest>& requests,
                                                const data::Tokenizer& tokenizer, uint64_t seed,
                                                ParallelInference& model, const std::function<bool()>& stop) {
  if (!tokenizer.eos_id().has_value()) {
    return absl::InvalidArgumentError(
        "the tokenizer has no end-of-text id\n  why: a prompt begins with it, and a text ends with it\n"
        "  fix: a tokenizer.json with an end-of-text special token, or train_tokenizer");
  }
  std::vector<absl::StatusOr<std::string>> texts(requests.size(), std::string());
  model.ForEach(requests.size(), [&](int64_t i, Inference& inference) {
    texts[i] = Continue(requests[i], tokenizer, seed, model.config(), inference, stop);
  });
  std::vector<std::string> result;
  for (absl::StatusOr<std::string>& text : texts) {
    RETURN_IF_ERROR(text.status());
    result.push_back(*std::move(text));
  }
  return result;
}

}  // namespace millrace::trainer
