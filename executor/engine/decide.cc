#include "executor/engine/decide.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "executor/graph/action_key.h"

namespace millrace {
namespace {

// A trainer that ended at this state under another budget left all there is to make.
absl::Status UseCompleted(Store& store, Decision& decision) {
  decision.entry = *decision.chain.completed;
  decision.entry.set_kind("train");
  *decision.entry.mutable_curve() = decision.chain.curves;
  decision.state = EntryState::kComplete;
  for (const OutputTree& output : decision.entry.output()) {
    ASSIGN_OR_RETURN(const Digest tree, Digest::Parse(output.digest()));
    if (!store.cache->HasTree(tree)) decision.state = EntryState::kKnown;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<const OutputTree*> FindOutput(const ActionEntry& entry, const std::string& name) {
  for (const OutputTree& output : entry.output()) {
    if (output.name() == name) return &output;
  }
  return absl::NotFoundError(absl::StrCat("the entry has no output \"", name, "\""));
}

absl::StatusOr<Decision> Decide(Store& store, const ResolvedPipeline& pipeline, int stage_index,
                                const std::vector<const ActionEntry*>& producer, const DecideOptions& options) {
  const ResolvedStage& stage = pipeline.stages[stage_index];
  Decision decision;
  KeyInputs inputs;
  for (size_t e = 0; e < stage.edges.size(); ++e) {
    ASSIGN_OR_RETURN(const OutputTree* tree, FindOutput(*producer[e], stage.edges[e].output));
    inputs.input_digest[stage.edges[e].name] = tree->digest();
  }
  for (const ExternalInput& input : stage.external_inputs) {
    ASSIGN_OR_RETURN(DigestedInput digested, DigestInput(input, *store.memo, store.threads));
    ASSIGN_OR_RETURN(const std::vector<std::string> differences, CompareWithLock(input, digested.tree));
    for (const std::string& difference : differences)
      decision.lock_differences.push_back(absl::StrCat(input.lock, ": ", difference));
    inputs.input_digest[input.name] = digested.digest.ToString();
    decision.external.emplace(input.name, std::move(digested));
  }
  if (!stage.tool.empty()) {
    ASSIGN_OR_RETURN(const Digest digest, store.tools->DigestOf(stage.tool));
    decision.tool_digest = inputs.tool_digest = digest.ToString();
  }
  ASSIGN_OR_RETURN(decision.key.bytes, MakeKey(pipeline, stage, inputs));
  ASSIGN_OR_RETURN(FoundEntry found, store.cache->Lookup(decision.key, {.with_key = false}));
  decision.state = found.state;
  decision.entry = std::move(found.entry);
  const bool is_cached = decision.state == EntryState::kComplete && !options.force && !options.will_run;
  if (is_cached && !options.record_of_cached) return decision;
  ASSIGN_OR_RETURN(decision.key_record, MakeKeyRecord(pipeline, stage, inputs));
  if (is_cached) return decision;
  if (stage.train_steps.has_value()) {
    ASSIGN_OR_RETURN(const KeyRecord chain_record, MakeChainKeyRecord(pipeline, stage, inputs));
    decision.chain_key = Digest{KeyOf(chain_record)};
    if (options.force) return decision;
    ASSIGN_OR_RETURN(decision.chain,
                     WalkChain(*store.cache, *decision.chain_key, stage, TrainData::Of(*store.cas, stage, producer)));
    if (decision.state == EntryState::kAbsent && decision.chain.completed.has_value())
      RETURN_IF_ERROR(UseCompleted(store, decision));
  }
  return decision;
}

}  // namespace millrace
