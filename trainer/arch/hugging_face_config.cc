// Two forms of the rotary settings are read: `rope_theta` with `rope_scaling` (what published DeepSeek models have, and
// what is written), and `rope_parameters`, which transformers 5 writes.
#include "trainer/arch/hugging_face_config.h"

#include <limits>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace millrace::trainer {
namespace {

using Json = nlohmann::json;

// Fields that change nothing in a training step of this model.
const std::set<std::string>& IgnoredFields() {
  static const std::set<std::string>& fields =
      *new std::set<std::string>{"_name_or_path",     "_attn_implementation", "architectures",
                                 "auto_map",          "bos_token_id",         "dtype",
                                 "eos_token_id",      "pad_token_id",         "torch_dtype",
                                 "use_cache",         "transformers_version", "model_type",
                                 "name_or_path",      "pretraining_tp",       "return_dict",
                                 "output_attentions", "output_hidden_states"};
  return fields;
}

// Reads one config; collects what is wrong.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  void Read(const char* name, int64_t* value, bool required) {
    known_.insert(name);
    const auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) {
      if (required) problems_.push_back(absl::StrCat(name, " is missing"));
      return;
    }
    if (!it->is_number_integer() || it->get<int64_t>() < 1 || it->get<int64_t>() > std::numeric_limits<int32_t>::max())
      problems_.push_back(absl::StrCat(name, " is ", it->dump(), ", not a whole number from 1 to 2147483647"));
    else
      *value = it->get<int64_t>();
  }

  void Read(const char* name, double* value) { ReadFrom(json_, "", name, value); }

  void Read(const char* name, bool* value) {
    known_.insert(name);
    const auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) return;
    if (it->is_boolean())
      *value = it->get<bool>();
    else
      problems_.push_back(absl::StrCat(name, " is ", it->dump(), ", not true or false"));
  }

  // The field may be absent or have this value.
  void Expect(const char* name, const Json& value, bool required = false) {
    known_.insert(name);
    const auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) {
      if (required) problems_.push_back(absl::StrCat(name, " is missing; only ", value.dump(), " is supported"));
    } else if (*it != value) {
      problems_.push_back(absl::StrCat(name, " is ", it->dump(), "; only ", value.dump(), " is supported"));
    }
  }

  void ReadRope(const char* name, ModelConfig* config) {
    known_.insert(name);
    const auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) return;
    if (!it->is_object()) {
      problems_.push_back(absl::StrCat(name, " is ", it->dump(), ", not an object"));
      return;
    }
    const Json& rope = *it;
    std::string type = "default";
    for (const char* key : {"type", "rope_type"}) {
      if (rope.contains(key)) type = rope[key].is_string() ? rope[key].get<std::string>() : rope[key].dump();
    }
    const std::string prefix = absl::StrCat(name, ".");
    ReadFrom(rope, prefix, "rope_theta", &config->rope_theta);
    if (type == "linear") {
      if (!rope.contains("factor")) problems_.push_back(absl::StrCat(prefix, "factor is missing"));
      ReadFrom(rope, prefix, "factor", &config->rope_linear_factor);
    } else if (type != "default") {
      problems_.push_back(
          absl::StrCat(prefix, "rope_type is \"", type, "\"; only \"linear\" and \"default\" are supported"));
      return;
    }
    for (const auto& [key, value] : rope.items()) {
      const bool partial = key == "partial_rotary_factor" && value == Json(1.0);
      if (key != "type" && key != "rope_type" && key != "rope_theta" && key != "factor" && !partial && !value.is_null())
        problems_.push_back(absl::StrCat(prefix, key, " is ", value.dump(), "; it is not supported"));
    }
  }

  void RefuseUnknown() {
    for (const auto& [key, value] : json_.items()) {
      if (known_.count(key) == 0 && IgnoredFields().count(key) == 0 && !value.is_null())
        problems_.push_back(absl::StrCat(key, " is ", value.dump(), "; it is not supported"));
    }
  }

  const Json& json() const { return json_; }
  std::vector<std::string>& problems() { return problems_; }

 private:
  void ReadFrom(const Json& object, const std::string& prefix, const char* name, double* value) {
    if (prefix.empty()) known_.insert(name);
    const auto it = object.find(name);
    if (it == object.end() || it->is_null()) return;
    if (it->is_number())
      *value = it->get<double>();
    else
      problems_.push_back(absl::StrCat(prefix, name, " is ", it->dump(), ", not a number"));
  }

  const Json& json_;
  std::set<std::string> known_;
  std::vector<std::string> problems_;
};

std::optional<int64_t> OptionalId(const Json& json, const char* name) {
  const auto it = json.find(name);
  if (it == json.end() || !it->is_number_integer()) return std::nullopt;
  return it->get<int64_t>();
}

}  // namespace

std::string ToHuggingFaceConfigJson(const ModelConfig& config, const HuggingFaceExtras& extras) {
  nlohmann::ordered_json json;
  json["architectures"] = {"LlamaForCausalLM"};
  json["attention_bias"] = false;
  json["attention_dropout"] = 0.0;
  if (extras.bos_token_id) json["bos_token_id"] = *extras.bos_token_id;
  if (extras.eos_token_id) json["eos_token_id"] = *extras.eos_token_id;
  json["hidden_act"] = "silu";
  json["hidden_size"] = config.hidden_size;
  json["initializer_range"] = config.initializer_range;
  json["intermediate_size"] = config.intermediate_size;
  json["max_position_embeddings"] = config.max_position_embeddings;
  json["mlp_bias"] = false;
  json["model_type"] = "llama";
  json["num_attention_heads"] = config.num_attention_heads;
  json["num_hidden_layers"] = config.num_hidden_layers;
  json["num_key_value_heads"] = config.num_key_value_heads;
  json["rms_norm_eps"] = config.rms_norm_eps;
  if (config.rope_linear_factor == 1) {
    json["rope_scaling"] = nullptr;
  } else {
    json["rope_scaling"] = {{"factor", config.rope_linear_factor}, {"rope_type", "linear"}, {"type", "linear"}};
  }
  json["rope_theta"] = config.rope_theta;
  json["tie_word_embeddings"] = config.tie_word_embeddings;
  json["torch_dtype"] = extras.torch_dtype;
  json["use_cache"] = true;
  json["vocab_size"] = config.vocab_size;
  return json.dump(2) + "\n";
}

absl::StatusOr<ModelConfig> FromHuggingFaceConfigJson(absl::string_view text, HuggingFaceExtras* extras) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        "config.json is not a JSON object\n  fix: give the config.json that lies beside the model's weights");
  }
  Reader reader(json);
  ModelConfig config;
  reader.Expect("model_type", "llama", /*required=*/true);
  reader.Read("num_hidden_layers", &config.num_hidden_layers, true);
  reader.Read("hidden_size", &config.hidden_size, true);
  reader.Read("intermediate_size", &config.intermediate_size, true);
  reader.Read("num_attention_heads", &config.num_attention_heads, true);
  reader.Read("num_key_value_heads", &config.num_key_value_heads, false);
  reader.Read("vocab_size", &config.vocab_size, true);
  reader.Read("max_position_embeddings", &config.max_position_embeddings, true);
  reader.Read("rope_theta", &config.rope_theta);
  reader.Read("rms_norm_eps", &config.rms_norm_eps);
  reader.Read("initializer_range", &config.initializer_range);
  reader.Read("tie_word_embeddings", &config.tie_word_embeddings);
  reader.ReadRope("rope_scaling", &config);
  reader.ReadRope("rope_parameters", &config);
  reader.Expect("hidden_act", "silu");
  reader.Expect("attention_bias", false);
  reader.Expect("mlp_bias", false);
  reader.Expect("attention_dropout", 0.0);
  reader.Expect("partial_rotary_factor", 1.0);
  if (config.num_key_value_heads == 0) config.num_key_value_heads = config.num_attention_heads;
  if (config.num_attention_heads > 0) reader.Expect("head_dim", config.head_dim());
  reader.RefuseUnknown();
  if (reader.problems().empty()) {
    for (const ConfigProblem& problem : Validate(ModelConfigToProto(config))) reader.problems().push_back(problem.what);
  }
  if (!reader.problems().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("config.json: ", absl::StrJoin(reader.problems(), "\nconfig.json: "),
                                                   "\n  fix: use a dense model of the DeepSeek LLM family"));
  }
  if (extras != nullptr) {
    extras->bos_token_id = OptionalId(json, "bos_token_id");
    extras->eos_token_id = OptionalId(json, "eos_token_id");
    for (const char* name : {"dtype", "torch_dtype"}) {
      if (const auto it = json.find(name); it != json.end() && it->is_string()) extras->torch_dtype = *it;
    }
  }
  return config;
}

}  // namespace millrace::trainer
