#include "data/shards/mix.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/shards/mix_order.h"
#include "data/shards/permutation.h"
#include "data/shards/shard.h"

namespace millrace::data {
namespace {

// The rows of one source, as runs: `pack` keeps a source's sequences together.
class RowList {
 public:
  RowList(const ShardSet& shards, std::optional<uint32_t> source) {
    for (int64_t row = 0; row < shards.num_sequences(); ++row) {
      if (source.has_value() && shards.source(row) != *source) continue;
      if (!runs_.empty() && runs_.back().first_row + size_ - runs_.back().first == row) {
        ++size_;
        continue;
      }
      runs_.push_back({size_, row});
      ++size_;
    }
  }

  int64_t size() const { return size_; }
  int64_t row(int64_t index) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                        [](int64_t value, const Run& run) { return value < run.first; });
    const Run& run = *(after - 1);
    return run.first_row + index - run.first;
  }

 private:
  struct Run {
    int64_t first;  // index in the list
    int64_t first_row;
  };
  std::vector<Run> runs_;
  int64_t size_ = 0;
};

// Gives the rows of one component, epoch after epoch.
class ComponentRows {
 public:
  ComponentRows(RowList rows, uint64_t seed, uint32_t component)
      : rows_(std::move(rows)), seed_(seed), component_(component) {}

  int64_t size() const { return rows_.size(); }
  int64_t Row(int64_t nth) {
    const int64_t epoch = nth / rows_.size();
    if (!permutation_.has_value() || epoch != epoch_) {
      permutation_.emplace(rows_.size(), PermutationKey(seed_, component_, epoch));
      epoch_ = epoch;
    }
    return rows_.row((*permutation_)(nth % rows_.size()));
  }

 private:
  RowList rows_;
  uint64_t seed_;
  uint32_t component_;
  int64_t epoch_ = -1;
  std::optional<Permutation> permutation_;
};

absl::Status CheckWeights(const Mix& parameters) {
  double sum = 0;
  for (const Mix::Component& component : parameters.component()) sum += component.weight();
  if (parameters.component_size() == 0)
    return absl::InvalidArgumentError("the mixture has no component\n  fix: component { from: \"shards\" weight: 1 }");
  if (std::abs(sum - 1) > 1e-6) {
    return absl::InvalidArgumentError(
        absl::StrCat("the components' weights sum to ", sum, ", not 1\n  fix: divide each by ", sum));
  }
  return absl::OkStatus();
}

absl::Status CheckAlike(const ShardManifest& a, const ShardManifest& b, int component) {
  const auto differ = [&](absl::string_view what, const auto& x, const auto& y) {
    return absl::InvalidArgumentError(absl::StrCat("component ", component, " has ", what, " ", y, ", component 0 has ",
                                                   x, "\n  why: a mixture's sequences are all of one kind",
                                                   "\n  fix: pack both from the same tokenizer, with the same ", what));
  };
  if (a.sequence_length != b.sequence_length) return differ("sequence_length", a.sequence_length, b.sequence_length);
  if (a.vocab_size != b.vocab_size) return differ("vocab_size", a.vocab_size, b.vocab_size);
  if (a.eos_id != b.eos_id) return differ("eos_id", a.eos_id, b.eos_id);
  if (a.attend_across_documents != b.attend_across_documents)
    return differ("attend_across_documents", a.attend_across_documents, b.attend_across_documents);
  return absl::OkStatus();
}

// Links FROM/name to TO/name; copies it where a link cannot be made (another file system, or not the owner).
absl::Status LinkOrCopy(const std::string& from, const std::string& to) {
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0) return absl::OkStatus();
  std::error_code error;
  std::filesystem::copy_file(from, to, error);
  return error ? ErrnoError(error.value(), absl::StrCat("copy ", from, " to"), to) : absl::OkStatus();
}

absl::Status LinkShards(const std::string& from, const ShardManifest& manifest, const std::string& to) {
  RETURN_IF_ERROR(CreateDirectories(to));
  for (const ShardManifest::File& file : manifest.files)
    RETURN_IF_ERROR(LinkOrCopy(JoinPath(from, file.name), JoinPath(to, file.name)));
  return LinkOrCopy(JoinPath(from, "manifest.json"), JoinPath(to, "manifest.json"));
}

}  // namespace

absl::StatusOr<MixtureManifest> BuildMixture(const Mix& parameters, uint64_t seed,
                                             const std::vector<std::string>& shards, const std::string& folder,
                                             const std::function<void(int64_t)>& progress) {
  RETURN_IF_ERROR(CheckWeights(parameters));
  MixtureManifest manifest;
  manifest.when_exhausted = Mix::Exhausted_Name(parameters.when_exhausted());

  std::vector<ShardSet> sets;
  std::map<Sha256Bytes, uint32_t> set_of_digest;
  std::vector<MixComponent> components;
  std::vector<ComponentRows> rows;
  for (int i = 0; i < parameters.component_size(); ++i) {
    const Mix::Component& component = parameters.component(i);
    ASSIGN_OR_RETURN(ShardSet set, ShardSet::Open(shards[i]));
    const auto [it, is_new] = set_of_digest.emplace(set.digest(), sets.size());
    if (is_new) {
      RETURN_IF_ERROR(LinkShards(shards[i], set.manifest(), JoinPath(folder, absl::StrCat("shards/", sets.size()))));
      sets.push_back(std::move(set));
    }
    const ShardSet& own = sets[it->second];
    RETURN_IF_ERROR(CheckAlike(sets[0].manifest(), own.manifest(), i));

    std::optional<uint32_t> source;
    if (component.has_source()) {
      uint32_t ordinal;
      if (!absl::SimpleAtoi(component.source(), &ordinal)) {
        return absl::InvalidArgumentError(
            absl::StrCat("component ", i, ": source \"", component.source(),
                         "\" is not an ordinal\n  fix: name a corpus stage in the pipeline "
                         "file; the executor passes its ordinal"));
      }
      source = ordinal;
    }
    rows.emplace_back(RowList(own, source), seed, i);
    if (rows.back().size() == 0 && component.weight() > 0) {
      std::string found;
      for (const ShardManifest::Source& s : own.manifest().sources)
        absl::StrAppend(&found, found.empty() ? "" : ", ", s.source);
      return absl::InvalidArgumentError(
          absl::StrCat("component ", i, " has no sequences of source ", source.value_or(0),
                       "\n  why: after filter, dedup and split its shards hold only the sources ", found,
                       "\n  fix: leave the component out, or look at what became of its documents"));
    }
    components.push_back({component.weight(), rows.back().size(), component.max_epochs()});
    MixtureManifest::Component& entry = manifest.components.emplace_back();
    entry.shards = it->second;
    entry.source = source;
    entry.weight = component.weight();
    entry.max_epochs = component.max_epochs();
    entry.sequences = rows.back().size();
  }
  manifest.sequence_length = sets[0].sequence_length();

  ASSIGN_OR_RETURN(MixtureOrderWriter writer, MixtureOrderWriter::Create(folder));
  MixOrder order(components, parameters.when_exhausted());
  while (const std::optional<MixOrder::Position> position = order.Next()) {
    writer.Append({manifest.components[position->component].shards, rows[position->component].Row(position->nth)});
    manifest.components[position->component].positions += 1;
    if (writer.positions() % (1 << 16) == 0) progress(writer.positions());
  }
  progress(writer.positions());
  RETURN_IF_ERROR(writer.Close(components.size(), manifest.sequence_length, sets.size()));
  manifest.positions = writer.positions();
  manifest.ended_by = order.ended_by();
  RETURN_IF_ERROR(WriteFile(JoinPath(folder, "manifest.json"), ToJson(manifest)));
  return manifest;
}

}  // namespace millrace::data
