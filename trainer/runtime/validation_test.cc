#include "trainer/runtime/validation.h"

#include <cmath>

#include "ATen/Parallel.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "data/shards/held_out.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/comm/thread_comm.h"
#include "trainer/runtime/batch_leaf_source.h"
#include "trainer/runtime/testing.h"

namespace millrace::trainer {
namespace {

constexpr int64_t kLength = 8;

std::vector<std::vector<uint32_t>> Documents() {
  std::vector<std::vector<uint32_t>> documents;
  for (uint32_t d = 0; d < 11; ++d) {
    std::vector<uint32_t>& ids = documents.emplace_back();
    for (uint32_t i = 0; i < 1 + d * 3 % 20; ++i) ids.push_back(1 + (d * 17 + i * 5) % 60);
  }
  return documents;
}

std::string WriteHeldOut() {
  const std::string folder = *MakeTempDirectory("held_out");
  data::ShardManifest info;
  info.kind = data::ShardManifest::Kind::kHeldOut;
  info.sequence_length = kLength;
  info.vocab_size = 61;
  data::HeldOutWriter writer(folder, info, 1 << 20);
  const auto documents = Documents();
  for (const auto& ids : documents) EXPECT_TRUE(writer.Append({.ids = ids, .text_bytes = ids.size()}).ok());
  EXPECT_TRUE(writer.Close().ok());
  return folder;
}

// Each window by itself.
double PlainLoss(const TrainState& state, const ModelConfig& config) {
  Inference inference(config, state.NamedWeights(), 64);
  double total = 0;
  int64_t count = 0;
  for (const auto& ids : Documents()) {
    for (const auto& [first, predictions] : data::DocumentWindows(ids.size(), kLength)) {
      const std::vector<uint32_t> window = data::WindowIds({.ids = ids}, 0, first, predictions);
      const data::Sequence sequence{.ids = window};
      Leaf leaf;
      FillLeaf({&sequence, 1}, predictions, true, leaf);
      std::vector<float> losses(predictions);
      inference.RowLosses(leaf, losses.data());
      for (const float loss : losses) total += loss;
      count += predictions;
    }
  }
  return total / count;
}

TEST(ValidationTest, EachWindowSeesOnlyItselfOnAnyNumberOfRanks) {
  const std::string folder = WriteHeldOut();
  const ModelConfig config = SmallModel(true);
  double reference = 0;
  for (const int ranks : {1, 2, 3}) {
    const auto statuses = RunThreadGang(ranks, [&](Comm& comm) -> absl::Status {
      at::set_num_threads(1);
      TrainState state(BuildModel(config, 64));
      state.Initialize(2);
      ASSIGN_OR_RETURN(const auto validation, Validation::Open(folder, 0, config, 64, 2, state));
      ASSIGN_OR_RETURN(const double loss, validation->Loss(comm));
      int64_t tokens = 0;
      for (const auto& ids : Documents()) tokens += ids.size() + 1;
      if (validation->tokens() != tokens) return absl::InternalError("tokens");
      if (ranks == 1) reference = loss;
      if (std::abs(loss - PlainLoss(state, config)) > 1e-5) return absl::InternalError("not the plain loss");
      return loss == reference ? absl::OkStatus() : absl::InternalError("depends on the ranks");
    });
    for (const absl::Status& status : statuses) EXPECT_EQ(status, absl::OkStatus());
  }
}

TEST(ValidationTest, ABoundOfTokens) {
  const std::string folder = WriteHeldOut();
  const ModelConfig config = SmallModel(true);
  TrainState state(BuildModel(config, 64));
  state.Initialize(2);
  const auto validation = Validation::Open(folder, 50, config, 64, 2, state);
  ASSERT_TRUE(validation.ok());
  EXPECT_LE((*validation)->tokens(), 50);
  EXPECT_GE((*validation)->tokens(), 40);
}

TEST(ValidationTest, RefusesIdsBeyondTheModel) {
  ModelConfig config = SmallModel(true);
  config.vocab_size = 60;
  TrainState state(BuildModel(config, 64));
  const auto validation = Validation::Open(WriteHeldOut(), 0, config, 64, 2, state);
  EXPECT_EQ(validation.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace::trainer
