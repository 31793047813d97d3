#include "trainer/runtime/validation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/shards/held_out.h"
#include "data/shards/shard.h"
#include "trainer/runtime/batch_leaf_source.h"
#include "trainer/runtime/fixed_point.h"
#include "trainer/schedule/data_parallel.h"

namespace millrace::trainer {
namespace {

// A sequence that owns its memory.
struct OwnSequence {
  std::vector<uint32_t> ids, document_starts;
  std::vector<uint8_t> loss_weights;

  data::Sequence view() const { return {.ids = ids, .document_starts = document_starts, .loss_weights = loss_weights}; }
};

// Of `windows`, in order, every one or so many that their predictions are about `max_tokens`.
std::vector<std::vector<uint32_t>> Sample(std::vector<std::vector<uint32_t>> windows, int64_t max_tokens) {
  int64_t total = 0;
  for (const auto& window : windows) total += static_cast<int64_t>(window.size()) - 1;
  if (max_tokens <= 0 || total <= max_tokens) return windows;
  std::vector<std::vector<uint32_t>> taken;
  int64_t seen = 0, used = 0;
  for (auto& window : windows) {
    const int64_t predictions = static_cast<int64_t>(window.size()) - 1;
    seen += predictions;
    // Taken when what is used lags behind its share of what was seen.
    if (used + predictions > static_cast<double>(seen) * max_tokens / total) continue;
    used += predictions;
    taken.push_back(std::move(window));
  }
  return taken;
}

// Windows end to end; one that does not fit begins the next sequence, the rest is padding.
std::vector<OwnSequence> Pack(const std::vector<std::vector<uint32_t>>& windows, int64_t length) {
  std::vector<OwnSequence> sequences;
  int64_t used = length;
  for (const std::vector<uint32_t>& window : windows) {
    const int64_t predictions = static_cast<int64_t>(window.size()) - 1;
    if (used + predictions > length) {
      sequences.push_back({.ids = std::vector<uint32_t>(length + 1), .loss_weights = std::vector<uint8_t>(length)});
      used = 0;
    }
    OwnSequence& sequence = sequences.back();
    sequence.document_starts.push_back(static_cast<uint32_t>(used));
    // One row between two windows, where the last target lies, predicts nothing.
    for (int64_t i = 0; i < predictions; ++i) {
      sequence.ids[used + i] = window[i];
      sequence.loss_weights[used + i] = 1;
    }
    sequence.ids[used + predictions] = window[predictions];
    used += predictions + 1;
  }
  return sequences;
}

class SequenceValidation : public Validation {
 public:
  SequenceValidation(std::vector<OwnSequence> sequences, int64_t length, bool attend_across_documents,
                     int64_t leaf_sequences, const ModelConfig& config, int loss_chunk_tokens, const TrainState& state)
      : sequences_(std::move(sequences)),
        length_(length),
        attend_across_documents_(attend_across_documents),
        leaf_sequences_(leaf_sequences),
        inference_(config, state.NamedWeights(), loss_chunk_tokens, length) {
    for (const OwnSequence& sequence : sequences_)
      tokens_ += std::count(sequence.loss_weights.begin(), sequence.loss_weights.end(), 1);
  }

  int64_t tokens() const override { return tokens_; }

  absl::StatusOr<double> Loss(Comm& comm) override {
    const int64_t count = static_cast<int64_t>(sequences_.size());
    const int64_t leaves = (count + leaf_sequences_ - 1) / leaf_sequences_;
    const LeafRange mine = LeavesOfRank(leaves, comm.world_size(), comm.rank());
    std::vector<int64_t> sum(1);
    std::vector<data::Sequence> views;
    std::vector<float> losses;
    for (int64_t leaf_index = mine.first; leaf_index < mine.last; ++leaf_index) {
      views.clear();
      for (int64_t i = leaf_index * leaf_sequences_; i < std::min(count, (leaf_index + 1) * leaf_sequences_); ++i)
        views.push_back(sequences_[i].view());
      FillLeaf(views, length_, attend_across_documents_, leaf_);
      losses.resize(views.size() * length_);
      inference_.RowLosses(leaf_, losses.data());
      double total = 0;
      for (const float loss : losses) total += loss;
      // An infinite or impossible loss shows as the largest value there is.
      sum[0] += std::isfinite(total) ? std::llrint(std::min(total, 1e6) * kLossScale) : std::llrint(1e6 * kLossScale);
    }
    RETURN_IF_ERROR(comm.AllReduceSum(absl::MakeSpan(sum), "the validation loss"));
    return static_cast<double>(sum[0]) / kLossScale / static_cast<double>(std::max<int64_t>(tokens_, 1));
  }

 private:
  const std::vector<OwnSequence> sequences_;
  const int64_t length_;
  const bool attend_across_documents_;
  const int64_t leaf_sequences_;
  Inference inference_;
  Leaf leaf_;
  int64_t tokens_ = 0;
};

absl::Status CheckFits(const data::ShardManifest& manifest, const ModelConfig& config) {
  if (manifest.vocab_size <= config.vocab_size && manifest.sequence_length <= config.max_position_embeddings)
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "validation.data has ids below ", manifest.vocab_size, " in sequences of ", manifest.sequence_length,
      "; the model has a vocabulary of ", config.vocab_size, " and ", config.max_position_embeddings, " positions"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Validation>> Validation::Open(const std::string& folder, int64_t max_tokens,
                                                             const ModelConfig& config, int loss_chunk_tokens,
                                                             int64_t leaf_sequences, const TrainState& state) {
  const auto held_out = data::HeldOutSet::Open(folder);
  if (held_out.ok()) {
    const data::ShardManifest& manifest = held_out->manifest();
    RETURN_IF_ERROR(CheckFits(manifest, config));
    std::vector<std::vector<uint32_t>> windows;
    for (int64_t d = 0; d < held_out->num_documents(); ++d) {
      const data::HeldOutDocument document = held_out->document(d);
      for (const auto& [first, predictions] : data::DocumentWindows(document.ids.size(), manifest.sequence_length))
        windows.push_back(data::WindowIds(document, manifest.eos_id, first, predictions));
    }
    return std::make_unique<SequenceValidation>(Pack(Sample(std::move(windows), max_tokens), manifest.sequence_length),
                                                manifest.sequence_length, /*attend_across_documents=*/false,
                                                leaf_sequences, config, loss_chunk_tokens, state);
  }
  if (held_out.status().code() != absl::StatusCode::kInvalidArgument) return held_out.status();
  ASSIGN_OR_RETURN(const data::ShardSet shards, data::ShardSet::Open(folder));
  RETURN_IF_ERROR(CheckFits(shards.manifest(), config));
  const int64_t length = shards.sequence_length(), rows = shards.num_sequences();
  const int64_t wanted = max_tokens <= 0 ? rows : std::min(rows, (max_tokens + length - 1) / length);
  std::vector<OwnSequence> sequences;
  for (int64_t i = 0; i < wanted; ++i) {
    ASSIGN_OR_RETURN(const data::Sequence sequence, shards.Read(i * rows / wanted));
    OwnSequence own;
    own.ids.assign(sequence.ids.begin(), sequence.ids.end());
    own.document_starts.assign(sequence.document_starts.begin(), sequence.document_starts.end());
    own.loss_weights.assign(sequence.loss_weights.begin(), sequence.loss_weights.end());
    if (own.loss_weights.empty()) own.loss_weights.assign(length, 1);
    sequences.push_back(std::move(own));
  }
  return std::make_unique<SequenceValidation>(std::move(sequences), length, shards.manifest().attend_across_documents,
                                              leaf_sequences, config, loss_chunk_tokens, state);
}

}  // namespace millrace::trainer
