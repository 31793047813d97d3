#include "trainer/arch/model_config.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace millrace::trainer {
namespace {

ModelConfig PresetConfig(Model::Preset preset) {
  ModelConfig config;
  switch (preset) {
    case Model::DEEPSEEK_LLM_7B:
      config.num_hidden_layers = 30;
      config.hidden_size = 4096;
      config.intermediate_size = 11008;
      config.num_attention_heads = 32;
      config.num_key_value_heads = 32;
      config.vocab_size = 102400;
      config.max_position_embeddings = 4096;
      break;
    case Model::DEEPSEEK_LLM_67B:
      config.num_hidden_layers = 95;
      config.hidden_size = 8192;
      config.intermediate_size = 22016;
      config.num_attention_heads = 64;
      config.num_key_value_heads = 8;
      config.vocab_size = 102400;
      config.max_position_embeddings = 4096;
      break;
    case Model::DEEPSEEK_CODER_33B:
      config.num_hidden_layers = 62;
      config.hidden_size = 7168;
      config.intermediate_size = 19200;
      config.num_attention_heads = 56;
      config.num_key_value_heads = 8;
      config.vocab_size = 32256;
      config.max_position_embeddings = 16384;
      config.rope_theta = 100000;
      config.rope_linear_factor = 4;
      break;
  }
  return config;
}

// Calls f(name, has, value) for the seven sizes, in field order.
template <typename F>
void ForEachSize(const Model& m, F f) {
  f("num_hidden_layers", m.has_num_hidden_layers(), m.num_hidden_layers());
  f("hidden_size", m.has_hidden_size(), m.hidden_size());
  f("intermediate_size", m.has_intermediate_size(), m.intermediate_size());
  f("num_attention_heads", m.has_num_attention_heads(), m.num_attention_heads());
  f("num_key_value_heads", m.has_num_key_value_heads(), m.num_key_value_heads());
  f("vocab_size", m.has_vocab_size(), m.vocab_size());
  f("max_position_embeddings", m.has_max_position_embeddings(), m.max_position_embeddings());
}

int64_t RoundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

void ExpandPreset(Model* model) {
  if (model->has_preset()) {
    Model expanded = ModelConfigToProto(PresetConfig(model->preset()));
    expanded.MergeFrom(*model);  // scalars that are set replace the preset's
    expanded.clear_preset();
    *model = expanded;
  }
  if (!model->has_num_key_value_heads() && model->has_num_attention_heads())
    model->set_num_key_value_heads(model->num_attention_heads());
}

std::vector<ConfigProblem> Validate(const Model& m) {
  std::vector<ConfigProblem> problems;
  bool all_set = true;
  ForEachSize(m, [&](const char* name, bool has, int32_t value) {
    if (!has) {
      all_set = false;
      problems.push_back({name, absl::StrCat("model has no ", name), "without a preset each size must be given",
                          absl::StrCat(name, ": N, or preset: DEEPSEEK_LLM_7B")});
    } else if (value < 1) {
      all_set = false;
      problems.push_back({name, absl::StrCat(name, " is ", value), "it must be at least 1", absl::StrCat(name, ": 1")});
    }
  });
  if (all_set) {
    const int64_t heads = m.num_attention_heads(), hidden = m.hidden_size(), kv_heads = m.num_key_value_heads();
    if (hidden % heads != 0) {
      problems.push_back({"hidden_size",
                          absl::StrCat("hidden_size ", hidden, " is not a multiple of num_attention_heads ", heads),
                          "each head has hidden_size / num_attention_heads dimensions",
                          absl::StrCat("hidden_size: ", RoundUp(hidden, 2 * heads))});
    } else if (hidden / heads % 2 != 0) {
      problems.push_back({"hidden_size", absl::StrCat("a head has ", hidden / heads, " dimensions"),
                          "the rotary embedding turns pairs of them, so their number must be even",
                          absl::StrCat("hidden_size: ", RoundUp(hidden, 2 * heads))});
    }
    if (kv_heads > heads || heads % kv_heads != 0) {
      problems.push_back(
          {"num_key_value_heads",
           absl::StrCat("num_attention_heads ", heads, " is not a multiple of num_key_value_heads ", kv_heads),
           "each key-value head serves the same number of attention heads",
           absl::StrCat("num_key_value_heads: ", heads, " (multi-head) or a divisor of it")});
    }
  }
  const auto require_positive = [&](const char* name, double value) {
    if (!(value > 0) || !std::isfinite(value)) {
      problems.push_back({name, absl::StrCat(name, " is ", value), "it must be a number above 0", ""});
    }
  };
  require_positive("rope_theta", m.rope_theta());
  require_positive("rms_norm_eps", m.rms_norm_eps());
  if (!(m.initializer_range() >= 0) || !std::isfinite(m.initializer_range())) {
    problems.push_back({"initializer_range", absl::StrCat("initializer_range is ", m.initializer_range()),
                        "it is a standard deviation", "initializer_range: 0.02"});
  }
  if (!(m.rope_linear_factor() >= 1) || !std::isfinite(m.rope_linear_factor())) {
    problems.push_back({"rope_linear_factor", absl::StrCat("rope_linear_factor is ", m.rope_linear_factor()),
                        "positions are divided by it; 1 is none", "rope_linear_factor: 1"});
  }
  return problems;
}

std::vector<ConfigProblem> ValidateAgainstData(const Model& model, int64_t sequence_length, int64_t vocab_size) {
  std::vector<ConfigProblem> problems;
  if (model.has_max_position_embeddings() && sequence_length > model.max_position_embeddings()) {
    problems.push_back({"max_position_embeddings",
                        absl::StrCat("max_position_embeddings ", model.max_position_embeddings(),
                                     " is less than the data's sequence_length ", sequence_length),
                        "each position of a sequence needs one",
                        absl::StrCat("max_position_embeddings: ", sequence_length, ", or pack shorter sequences")});
  }
  if (model.has_vocab_size() && vocab_size > model.vocab_size()) {
    problems.push_back({"vocab_size",
                        absl::StrCat("vocab_size ", model.vocab_size(), " is less than the tokenizer's ", vocab_size),
                        "ids from the model's vocab_size on have no embedding",
                        absl::StrCat("vocab_size: ", vocab_size, ", or more")});
  }
  return problems;
}

std::string ToString(const std::vector<ConfigProblem>& problems) {
  std::string text;
  for (const ConfigProblem& problem : problems) {
    if (!text.empty()) text += "\n";
    text += problem.what;
    if (!problem.why.empty()) absl::StrAppend(&text, "\n  why: ", problem.why);
    if (!problem.fix.empty()) absl::StrAppend(&text, "\n  fix: ", problem.fix);
  }
  return text;
}

absl::StatusOr<ModelConfig> ModelConfigFromProto(const Model& model) {
  Model m = model;
  ExpandPreset(&m);
  if (const std::vector<ConfigProblem> problems = Validate(m); !problems.empty())
    return absl::InvalidArgumentError(ToString(problems));
  ModelConfig config;
  config.num_hidden_layers = m.num_hidden_layers();
  config.hidden_size = m.hidden_size();
  config.intermediate_size = m.intermediate_size();
  config.num_attention_heads = m.num_attention_heads();
  config.num_key_value_heads = m.num_key_value_heads();
  config.vocab_size = m.vocab_size();
  config.max_position_embeddings = m.max_position_embeddings();
  config.rope_theta = m.rope_theta();
  config.rms_norm_eps = m.rms_norm_eps();
  config.initializer_range = m.initializer_range();
  config.tie_word_embeddings = m.tie_word_embeddings();
  config.rope_linear_factor = m.rope_linear_factor();
  return config;
}

Model ModelConfigToProto(const ModelConfig& config) {
  Model m;
  m.set_num_hidden_layers(config.num_hidden_layers);
  m.set_hidden_size(config.hidden_size);
  m.set_intermediate_size(config.intermediate_size);
  m.set_num_attention_heads(config.num_attention_heads);
  m.set_num_key_value_heads(config.num_key_value_heads);
  m.set_vocab_size(config.vocab_size);
  m.set_max_position_embeddings(config.max_position_embeddings);
  m.set_rope_theta(config.rope_theta);
  m.set_rms_norm_eps(config.rms_norm_eps);
  m.set_initializer_range(config.initializer_range);
  m.set_tie_word_embeddings(config.tie_word_embeddings);
  m.set_rope_linear_factor(config.rope_linear_factor);
  return m;
}

}  // namespace millrace::trainer
