// Keys: same key, same result, on any machine.
//
// Key = SHA-256("millrace.key.v1" and, for each component in the record's order, number path and canonical value, each
// after its length as 4 bytes, little-endian). A component without a canonical value is recorded only. Components: the
// stage kind and its semantics version, RESULT and ROUNDING fields that differ from their default (enums by number,
// doubles as bit patterns, strings as bytes), the tree digest of each input under its name, the tool's identity or a
// command's arguments, seed and numerics class where used, outputs' names. Stage names, paths, times, hosts and NONE
// fields never enter.
#ifndef MILLRACE_EXECUTOR_GRAPH_ACTION_KEY_H_
#define MILLRACE_EXECUTOR_GRAPH_ACTION_KEY_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/sha256.h"
#include "executor/cas/key.pb.h"
#include "executor/graph/resolved_pipeline.h"
#include "pipelines/protocol/stage.pb.h"

namespace millrace {

// What must be known, beside the pipeline, before an action has a key.
struct KeyInputs {
  std::map<std::string, std::string> input_digest;  // by input name: "sha256:<hex>" of the artifact's tree
  std::string tool_digest;                          // "sha256:<hex>", or "" for a command
};

// The version of what a kind's parameters mean; in the key.
int SemanticsVersionOf(absl::string_view kind);

// Not an error for a good pipeline; Internal if the digest of an input that is in the key, or of the tool, is missing.
absl::StatusOr<KeyRecord> MakeKeyRecord(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                        const KeyInputs& inputs);
Sha256Bytes KeyOf(const KeyRecord& record);
// KeyOf(MakeKeyRecord(...)) without the record: some three times as fast.
absl::StatusOr<Sha256Bytes> MakeKey(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                    const KeyInputs& inputs);

// For `train`: the key record without what only decides which steps there are and what they use (budget, schedule,
// learning rate, data): the part that all segments of a chain share.
absl::StatusOr<KeyRecord> MakeChainKeyRecord(const ResolvedPipeline& pipeline, const ResolvedStage& stage,
                                             const KeyInputs& inputs);
// Digest of the learning rates of steps (first, last]. Two runs of a chain with equal digests over a range, from one
// state and with the same data there (executor/engine/train_data.h), do the same in it.
Sha256Bytes StepsDigest(const ResolvedStage& stage, int64_t first, int64_t last);

// The recipe: parameters of the stage and, transitively, of all it depends on; known even while inputs are not.
Sha256Bytes RecipeOf(const ResolvedPipeline& pipeline, int stage_index);

// The request that goes with the key: paths are "in/NAME" and "out/NAME".
StageRequest MakeRequest(const ResolvedPipeline& pipeline, const ResolvedStage& stage);

// How two records differ in what is hashed, for `explain`: in the order of `after`, then what is gone.
struct KeyDifference {
  std::string path;
  std::string before;  // "" : was not there
  std::string after;   // "" : is not there now
};
std::vector<KeyDifference> CompareKeyRecords(const KeyRecord& before, const KeyRecord& after);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_ACTION_KEY_H_
