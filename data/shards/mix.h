// Builds a MIXTURE from SHARDS: what the `mix` stage does (pipelines/schema/mix.proto).
#ifndef MILLRACE_DATA_SHARDS_MIX_H_
#define MILLRACE_DATA_SHARDS_MIX_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/shards/mixture.h"
#include "pipelines/schema/mix.pb.h"

namespace millrace::data {

// Writes the mixture into `folder`, which exists and is empty. `shards` has the SHARDS folder of each component;
// component.source is an ordinal in decimal. The n-th sequence that a component gives is the one that a seeded
// permutation of its rows (data/shards/permutation.h) puts there, with another permutation each epoch: each epoch has
// each row exactly once. Position -> sequence depends on `seed`, weights and shards alone.
//   InvalidArgument: weights do not sum to 1; shards whose sequence_length, vocabulary, end-of-text id or attention
//   across documents differ; a source that has no sequences.
// Memory O(components). `progress` is called with the positions written.
absl::StatusOr<MixtureManifest> BuildMixture(const Mix& parameters, uint64_t seed,
                                             const std::vector<std::string>& shards, const std::string& folder,
                                             const std::function<void(int64_t positions)>& progress);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_MIX_H_
