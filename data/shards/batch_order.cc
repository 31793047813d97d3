#include "data/shards/batch_order.h"

#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "data/shards/sampler.h"

namespace millrace::data {

// Exactly one of the two is there.
struct BatchOrder::Source {
  std::optional<Mixture> mixture;
  std::optional<ShardSet> shards;
  uint64_t seed = 0;

  std::mutex mutex;
  std::map<int64_t, std::vector<int64_t>> epochs;  // of plain shards; the two last used. Guarded by `mutex`.

  size_t num_folders() const { return shards.has_value() ? 1 : mixture->shards().size(); }
  const ShardSet& SetOf(uint32_t folder) const { return shards.has_value() ? *shards : mixture->shards()[folder]; }

  // Plain shards: the row at a place of an epoch.
  int64_t RowAt(int64_t position) {
    const int64_t n = shards->num_sequences(), epoch = position / n;
    const std::lock_guard lock(mutex);
    auto it = epochs.find(epoch);
    if (it == epochs.end()) {
      SamplerOptions options;
      options.dataset_len = n;
      options.seed = seed;
      it = epochs.emplace(epoch, DistributedSampler(options).Indices(0, epoch)).first;
      while (epochs.size() > 2) epochs.erase(epochs.begin() == it ? std::prev(epochs.end()) : epochs.begin());
    }
    return it->second[position % n];
  }
};

BatchOrder::BatchOrder(std::unique_ptr<Source> source) : source_(std::move(source)) {}
BatchOrder::BatchOrder(BatchOrder&&) noexcept = default;
BatchOrder& BatchOrder::operator=(BatchOrder&&) noexcept = default;
BatchOrder::~BatchOrder() = default;

absl::StatusOr<BatchOrder> BatchOrder::Open(const std::string& folder, uint64_t seed) {
  auto source = std::make_unique<Source>();
  source->seed = seed;
  if (FileExists(JoinPath(folder, "order.bin"))) {
    ASSIGN_OR_RETURN(source->mixture, Mixture::Open(folder));
    return BatchOrder(std::move(source));
  }
  ASSIGN_OR_RETURN(source->shards, ShardSet::Open(folder));
  if (source->shards->num_sequences() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(folder, " has no sequences to train on",
                                                   "\n  fix: look at what became of the documents before `pack`"));
  }
  return BatchOrder(std::move(source));
}

int64_t BatchOrder::sequence_length() const { return source_->SetOf(0).sequence_length(); }
uint32_t BatchOrder::vocab_size() const { return source_->SetOf(0).manifest().vocab_size; }
uint32_t BatchOrder::eos_id() const { return source_->SetOf(0).manifest().eos_id; }
bool BatchOrder::attend_across_documents() const { return source_->SetOf(0).manifest().attend_across_documents; }

std::optional<int64_t> BatchOrder::num_positions() const {
  if (source_->shards.has_value()) return std::nullopt;
  return source_->mixture->num_positions();
}

absl::Status BatchOrder::CheckEnough(int64_t total_steps, int64_t global_batch_size) const {
  const std::optional<int64_t> positions = num_positions();
  if (!positions.has_value() || total_steps <= *positions / global_batch_size) return absl::OkStatus();
  const MixtureManifest& manifest = source_->mixture->manifest();
  const int64_t length = sequence_length();
  std::string why, fix;
  if (manifest.ended_by.has_value()) {
    const MixtureManifest::Component& component = manifest.components[*manifest.ended_by];
    why = absl::StrCat("component ", *manifest.ended_by, " of the mixture has ", component.sequences,
                       " sequences, and would be seen more than ",
                       manifest.when_exhausted == "REPEAT" ? absl::StrCat("max_epochs ", component.max_epochs) : "1",
                       " times");
    fix = "raise its max_epochs, lower its weight, give it more text";
  } else {
    why = "every component of the mixture is used up";
    fix = "give the components more text, or when_exhausted: REPEAT";
  }
  return absl::OutOfRangeError(absl::StrCat(
      "the data end after ", FormatGrouped(*positions * length), " tokens; step ", FormatGrouped(total_steps),
      " needs ", FormatGrouped(total_steps * global_batch_size * length), "\n  why: ", why, "\n  fix: ", fix,
      ", or train for at most ", FormatGrouped(*positions / global_batch_size),
      " steps (max_tokens: ", *positions / global_batch_size * global_batch_size * length, ")"));
}

absl::StatusOr<std::vector<SequenceRef>> BatchOrder::RowsForStep(int64_t step, int64_t global_batch_size) const {
  if (step < 1 || global_batch_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", step, " of a global batch of ", global_batch_size, ": both count from 1"));
  }
  RETURN_IF_ERROR(CheckEnough(step, global_batch_size));
  std::vector<SequenceRef> refs(global_batch_size);
  for (int64_t i = 0; i < global_batch_size; ++i) {
    const int64_t position = (step - 1) * global_batch_size + i;
    refs[i] = source_->shards.has_value() ? SequenceRef{0, source_->RowAt(position)} : source_->mixture->at(position);
  }
  return refs;
}

absl::StatusOr<Sequence> BatchOrder::Read(const SequenceRef& ref) const {
  if (ref.folder >= source_->num_folders()) {
    return absl::DataLossError(absl::StrCat("the mixture's order names folder ", ref.folder, " of ",
                                            source_->num_folders(), "\n  fix: run the `mix` stage again"));
  }
  return source_->SetOf(ref.folder).Read(ref.row);
}

}  // namespace millrace::data
