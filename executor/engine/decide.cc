#include "executor/engine/decide.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "executor/cas/remote/entry_text.h"
#include "executor/graph/action_key.h"

namespace millrace {
namespace {

EntryState StateOf(Store& store, const ActionEntry& entry) {
  for (const Digest& tree : TreesOf(entry)) {
    if (!store.cache->HasTree(tree)) return EntryState::kKnown;
  }
  return EntryState::kComplete;
}

// A trainer that ended at this state under another budget left all there is to make.
void UseCompleted(Store& store, const DecideOptions& options, Decision& decision) {
  decision.entry = *decision.chain.completed;
  decision.entry.set_kind("train");
  *decision.entry.mutable_curve() = decision.chain.curves;
  decision.state = StateOf(store, decision.entry);
  if (options.ask_remotes) FindRemotely(store, decision);
}

// An entry that is not here, but on a shared cache with all that it names.
absl::Status LookRemotely(Store& store, const std::string& stage, const DecideOptions& options, Decision& decision) {
  absl::optional<RemoteHit> hit = store.remotes->FindEntry(
      decision.key, [&](const ActionEntry& entry) { return Digest{KeyOf(entry.key())} == decision.key; });
  if (!hit.has_value()) return absl::OkStatus();
  if (options.keep_remote) {
    RETURN_IF_ERROR(store.remotes->KeepListings(TreesOf(hit->entry)));
    const absl::Status put = store.cache->Put(decision.key, hit->entry, stage);
    // Another process has just made it, with another result: what is here counts.
    if (absl::IsFailedPrecondition(put)) return absl::OkStatus();
    RETURN_IF_ERROR(put);
  }
  decision.entry = std::move(hit->entry);
  decision.entry.clear_key();
  decision.state = StateOf(store, decision.entry);
  decision.remote = std::move(hit->place);
  return absl::OkStatus();
}

absl::StatusOr<ChainPosition> FindPosition(Store& store, const ResolvedStage& stage, const Digest& chain_key,
                                           const TrainData& data, const DecideOptions& options) {
  ASSIGN_OR_RETURN(std::vector<SegmentEntry> segments, store.cache->Segments(chain_key));
  const bool ask = options.ask_remotes && store.remotes != nullptr;
  if (ask) {
    std::vector<SegmentEntry> remote = store.remotes->FindSegments(chain_key);
    std::set<std::string> here;
    for (const SegmentEntry& segment : segments) here.insert(SegmentIdentity(segment));
    for (SegmentEntry& segment : remote) {
      if (!here.insert(SegmentIdentity(segment)).second) continue;
      // One that contradicts what is recorded here is not followed.
      if (options.keep_remote && !store.cache->PutSegment(chain_key, segment, stage.name).ok()) continue;
      segments.push_back(std::move(segment));
    }
  }
  return WalkChain(
      std::move(segments),
      [&](const Digest& state) {
        return store.cache->HasTree(state) || (ask && store.remotes->FindTrees({state}).has_value());
      },
      stage, data);
}

}  // namespace

std::vector<Digest> TreesOf(const ActionEntry& entry) {
  std::vector<Digest> trees;
  for (const OutputTree& output : entry.output()) {
    if (const absl::StatusOr<Digest> tree = Digest::Parse(output.digest()); tree.ok()) trees.push_back(*tree);
  }
  return trees;
}

void FindRemotely(Store& store, Decision& decision) {
  if (store.remotes == nullptr || decision.state != EntryState::kKnown || decision.remote.has_value()) return;
  decision.remote = store.remotes->FindTrees(TreesOf(decision.entry));
}

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
  const bool ask_remotes = options.ask_remotes && !options.force && store.remotes != nullptr;
  if (decision.state == EntryState::kAbsent && ask_remotes)
    RETURN_IF_ERROR(LookRemotely(store, stage.name, options, decision));
  const bool is_cached = decision.state == EntryState::kComplete && !options.force && !options.will_run;
  if (is_cached && !options.record_of_cached) return decision;
  ASSIGN_OR_RETURN(decision.key_record, MakeKeyRecord(pipeline, stage, inputs));
  if (is_cached) return decision;
  if (stage.train_steps.has_value()) {
    ASSIGN_OR_RETURN(const KeyRecord chain_record, MakeChainKeyRecord(pipeline, stage, inputs));
    decision.chain_key = Digest{KeyOf(chain_record)};
    if (options.force) return decision;
    ASSIGN_OR_RETURN(decision.chain, FindPosition(store, stage, *decision.chain_key,
                                                  TrainData::Of(*store.cas, stage, producer), options));
    if (decision.state == EntryState::kAbsent && decision.chain.completed.has_value())
      UseCompleted(store, options, decision);
  }
  return decision;
}

}  // namespace millrace
