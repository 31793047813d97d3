#include "trainer/train_testing.h"

#include <dirent.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/file.h"
#include "base/sha256.h"
#include "data/shards/held_out.h"
#include "data/shards/shard.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "trainer/model/initialize.h"

namespace millrace::trainer {
namespace {

constexpr int kLength = 16;
constexpr uint32_t kVocabulary = 61;

void Check(const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  MILLRACE_CHECK(status.ok());
}

void WriteShards(const std::string& folder) {
  Check(CreateDirectories(folder));
  data::ShardManifest info;
  info.sequence_length = kLength;
  info.strategy = "CONCATENATE";
  info.vocab_size = kVocabulary;
  constexpr int kSequences = 40;  // less than two epochs of 12 steps of 6
  data::ShardSetWriter writer(folder, info, kSequences, 2000);
  const CounterRandom random(5, "shards");
  for (int s = 0; s < kSequences; ++s) {
    std::vector<uint32_t> ids;
    for (int i = 0; i <= kLength; ++i) ids.push_back(1 + random.Bits(s * 100 + i) % 7 * 8);
    const std::vector<uint32_t> starts = {0, static_cast<uint32_t>(3 + s % 9)};
    std::vector<uint8_t> weights;
    if (s % 5 == 0) {
      weights.assign(kLength, 1);
      weights[kLength - 1] = 0;
    }
    Check(writer.Append({.ids = ids, .document_starts = starts, .loss_weights = weights, .source = 0}));
  }
  Check(writer.Close());
}

void WriteHeldOut(const std::string& folder) {
  Check(CreateDirectories(folder));
  data::ShardManifest info;
  info.kind = data::ShardManifest::Kind::kHeldOut;
  info.sequence_length = kLength;
  info.vocab_size = kVocabulary;
  data::HeldOutWriter writer(folder, info, 1 << 20);
  const CounterRandom random(6, "held out");
  std::vector<std::vector<uint32_t>> documents;
  for (int d = 0; d < 9; ++d) {
    std::vector<uint32_t>& ids = documents.emplace_back();
    for (int i = 0; i < 5 + 7 * d; ++i) ids.push_back(1 + random.Bits(d * 1000 + i) % 7 * 8);
  }
  for (const auto& ids : documents)
    Check(writer.Append({.ids = ids, .source = 0, .text_bytes = 4 * ids.size(), .text_sha256 = {}}));
  Check(writer.Close());
}

}  // namespace

TrainInputs::TrainInputs(const std::string& folder) : folder_(folder) {
  WriteShards(folder + "/in/data");
  WriteHeldOut(folder + "/in/validation.data");
  Check(CreateDirectories(folder + "/in/tokenizer"));
  Check(WriteFile(folder + "/in/tokenizer/tokenizer.json", "{}\n"));
  Check(WriteFile(folder + "/in/tokenizer/tokenizer_config.json", "{\"a\": 1}\n"));
  MILLRACE_CHECK(google::protobuf::TextFormat::ParseFromString(R"(
    model {
      num_hidden_layers: 2 hidden_size: 16 intermediate_size: 24 num_attention_heads: 2 num_key_value_heads: 1
      vocab_size: 61 max_position_embeddings: 16 initializer_range: 0.1 tie_word_embeddings: true
    }
    precision: FP32
    global_batch_size: 6
    max_steps: 12
    loss_chunk_tokens: 10
    optimizer { adamw { learning_rate: 1e-2 } max_grad_norm: 0.7 }
    schedule { warmup_steps: 3 cosine {} }
    validation { every_steps: 5 max_tokens: "150" }
    checkpoint { every_steps: 4 }
    logging { every_steps: 5 })",
                                                               &train_));
  reproducibility_.set_leaf_sequences(2);
}

StageRequest TrainInputs::NewRequest(const std::string& run_folder) const {
  StageRequest request;
  request.set_kind("train");
  request.mutable_parameters()->PackFrom(train_);
  request.set_seed(17);
  *request.mutable_reproducibility() = reproducibility_;
  for (const char* name : {"data", "tokenizer", "validation.data"}) {
    StageInput* input = request.add_input();
    input->set_name(name);
    input->set_path(absl::StrCat(folder_, "/in/", name));
  }
  for (const char* name : {"checkpoint", "hugging_face"}) {
    StageOutput* output = request.add_output();
    output->set_name(name);
    output->set_path(absl::StrCat(run_folder, "/out/", name));
    Check(CreateDirectories(output->path()));
  }
  Check(CreateDirectories(run_folder + "/taken"));
  return request;
}

CheckpointTaker::CheckpointTaker(std::string run_folder) : run_folder_(std::move(run_folder)) {
  thread_ = std::thread([this] {
    while (!ended_) {
      TakeAll();
      absl::SleepFor(absl::Milliseconds(2));
    }
    TakeAll();
  });
}

CheckpointTaker::~CheckpointTaker() {
  ended_ = true;
  thread_.join();
}

void CheckpointTaker::TakeAll() {
  const std::string from = run_folder_ + "/out/checkpoint";
  DIR* dir = ::opendir(from.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (!absl::StartsWith(name, "step-")) continue;
    const std::string to = absl::StrCat(run_folder_, "/taken/", name);
    Check(RemoveTree(to));
    Check(RenameFile(absl::StrCat(from, "/", name), to));
  }
  ::closedir(dir);
}

std::map<std::string, std::string> DigestsOf(const std::string& run_folder) {
  std::map<std::string, Sha256> hashes;
  const auto add = [&](const std::string& folder, const std::string& prefix) {
    const auto files = ListFiles(folder);
    if (!files.ok()) return;
    for (const std::string& file : *files) {
      const std::string path = prefix + file;
      const size_t slash = path.find('/');
      Sha256& hash = hashes[path.substr(0, slash)];
      hash.Update(path.substr(slash));
      hash.Update(*ReadFile(JoinPath(folder, file)));
    }
  };
  add(run_folder + "/taken", "");
  add(run_folder + "/out/hugging_face", "hugging_face/");
  std::map<std::string, std::string> digests;
  for (auto& [name, hash] : hashes) digests[name] = HexOf(hash.Finish());
  return digests;
}

std::vector<StageEvent> ReadEvents(const std::string& events_path) {
  std::vector<StageEvent> events;
  const auto text = ReadFile(events_path);
  if (!text.ok()) return events;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    MILLRACE_CHECK(google::protobuf::util::JsonStringToMessage(std::string(line), &events.emplace_back()).ok());
  }
  return events;
}

std::map<int64_t, double> Curve(const std::string& events_path, const std::string& name) {
  std::map<int64_t, double> curve;
  for (const StageEvent& event : ReadEvents(events_path)) {
    if (event.has_metric() && event.metric().name() == name && event.metric().has_step())
      curve[event.metric().step()] = event.metric().value();
  }
  return curve;
}

}  // namespace millrace::trainer
