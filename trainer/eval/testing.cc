#include "trainer/eval/testing.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "ATen/ops/zeros.h"
#include "ATen/ops/zeros_like.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/check.h"
#include "base/file.h"
#include "base/sha256.h"
#include "google/protobuf/util/json_util.h"
#include "trainer/checkpoint/checkpoint.h"

namespace millrace::trainer {
namespace {

ModelConfig TestConfig(int64_t vocab_size, int64_t max_positions) {
  ModelConfig config;
  config.num_hidden_layers = 2;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 2;
  config.vocab_size = vocab_size;
  config.max_position_embeddings = max_positions;
  config.initializer_range = 0.3;  // far from uniform
  config.tie_word_embeddings = true;
  return config;
}

LoadedModel ZeroModel(const ModelConfig& config) {
  LoadedModel model = {config, {}, 7};
  for (const ParameterSpec& parameter : ModelParameters(BuildModel(config, 1)))
    model.weights[parameter.name] = at::zeros(parameter.shape, at::kFloat);
  return model;
}

float* Values(LoadedModel& model, const std::string& name) { return model.weights.at(name).mutable_data_ptr<float>(); }

// The text of byte `byte` in a tokenizer.json (GPT-2's table): visible characters of Latin-1 are themselves, the others
// are U+0100 and up, in order.
std::string ByteLevelCharacter(int byte) {
  const auto visible = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int character = byte;
  if (!visible(byte)) {
    character = 256;
    for (int b = 0; b < byte; ++b) character += !visible(b);
  }
  if (character < 128) return std::string(1, static_cast<char>(character));
  return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
}

}  // namespace

LoadedModel RandomTestModel(int64_t vocab_size, int64_t max_positions, uint64_t seed) {
  LoadedModel model = ZeroModel(TestConfig(vocab_size, max_positions));
  for (const ParameterSpec& parameter : ModelParameters(BuildModel(model.config, 1))) {
    InitializeRange(parameter, seed, 0, model.weights.at(parameter.name).numel(), Values(model, parameter.name));
  }
  return model;
}

LoadedModel UniformTestModel(int64_t vocab_size, int64_t max_positions) {
  return ZeroModel(TestConfig(vocab_size, max_positions));
}

// With all projections zero a layer is the identity, so the last norm sees the embedding. One-hot rows times sqrt(V)
// are their own norm; the head then reads off one column.
LoadedModel BigramTestModel(const std::vector<std::vector<double>>& p, int64_t max_positions) {
  const auto vocabulary = static_cast<int64_t>(p.size());
  ModelConfig config = TestConfig(vocabulary, max_positions);
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.hidden_size = vocabulary;
  config.tie_word_embeddings = false;
  config.rms_norm_eps = 1e-12;
  LoadedModel model = ZeroModel(config);
  const double root = std::sqrt(static_cast<double>(vocabulary));
  float* embedding = Values(model, "model.embed_tokens.weight");
  float* head = Values(model, "lm_head.weight");
  std::fill_n(Values(model, "model.norm.weight"), vocabulary, 1.0f);
  for (int64_t a = 0; a < vocabulary; ++a) {
    embedding[a * vocabulary + a] = static_cast<float>(root);
    for (int64_t b = 0; b < vocabulary; ++b)
      head[b * vocabulary + a] = static_cast<float>(std::log(std::max(p[a][b], 1e-30)) / root);
  }
  return model;
}

void WriteTestCheckpoint(const std::string& folder, const LoadedModel& model) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  MILLRACE_CHECK(google::protobuf::util::MessageToJsonString(ModelConfigToProto(model.config), &json, options).ok());
  std::vector<CheckpointTensor> tensors;
  std::map<std::string, at::Tensor> values;
  for (const auto& [name, tensor] : model.weights) {
    for (const std::string part : {"weights/", "adam_m/", "adam_v/"}) {
      values[part + name] = part == "weights/" ? tensor : at::zeros_like(tensor);
      tensors.push_back({part + name, tensor.sizes().vec()});
    }
  }
  const absl::StatusOr<CheckpointIndex> index = NewCheckpointIndex(model.step, json, std::move(tensors));
  MILLRACE_CHECK(index.ok());
  MILLRACE_CHECK(CreateDirectories(folder).ok());
  for (int64_t range = 0; range < index->num_ranges(); ++range) {
    MILLRACE_CHECK(WriteRange(folder, *index, range, [&](size_t i) {
                     const at::Tensor& tensor = values.at(index->tensors[i].name);
                     return absl::MakeConstSpan(tensor.const_data_ptr<float>(), tensor.numel());
                   }).ok());
  }
  MILLRACE_CHECK(WriteIndex(folder, *index).ok());
}

void WriteByteTokenizer(const std::string& folder) {
  using Json = nlohmann::ordered_json;
  Json vocabulary = {{"<|end_of_text|>", 0}};
  for (int byte = 0; byte < 256; ++byte) vocabulary[ByteLevelCharacter(byte)] = byte + 1;
  const Json tokenizer = {
      {"added_tokens", {{{"id", 0}, {"content", "<|end_of_text|>"}, {"special", true}, {"normalized", false}}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  MILLRACE_CHECK(CreateDirectories(folder).ok());
  MILLRACE_CHECK(WriteFile(JoinPath(folder, "tokenizer.json"), tokenizer.dump()).ok());
}

std::vector<uint32_t> ByteIds(const std::string& text) {
  std::vector<uint32_t> ids;
  for (const char c : text) ids.push_back(static_cast<uint8_t>(c) + 1);
  return ids;
}

TestDocument ByteDocument(const std::string& text, uint32_t source) { return {ByteIds(text), source, text}; }

void WriteTestHeldOut(const std::string& folder, const std::vector<TestDocument>& documents, uint32_t vocab_size) {
  data::ShardManifest info;
  info.sequence_length = 8;
  info.vocab_size = vocab_size;
  MILLRACE_CHECK(CreateDirectories(folder).ok());
  data::HeldOutWriter writer(folder, info, int64_t{1} << 20);
  for (const TestDocument& document : documents) {
    MILLRACE_CHECK(writer.Append({document.ids, document.source, document.text.size(), Sha256Of(document.text)}).ok());
  }
  MILLRACE_CHECK(writer.Close().ok());
}

data::HeldOutSet OpenTestHeldOut(const std::vector<TestDocument>& documents, uint32_t vocab_size) {
  const absl::StatusOr<std::string> folder = MakeTempDirectory("held_out");
  MILLRACE_CHECK(folder.ok());
  WriteTestHeldOut(*folder, documents, vocab_size);
  absl::StatusOr<data::HeldOutSet> set = data::HeldOutSet::Open(*folder);
  MILLRACE_CHECK(set.ok());
  return *std::move(set);
}

}  // namespace millrace::trainer
