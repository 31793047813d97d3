// What is to be done about a stage: its key, whether there is an entry for it, and for training where the chain stands.
// `plan`, `explain` and `run` all decide here.
#ifndef MILLRACE_EXECUTOR_ENGINE_DECIDE_H_
#define MILLRACE_EXECUTOR_ENGINE_DECIDE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "executor/cas/action_cache.h"
#include "executor/cas/cas.h"
#include "executor/cas/entry.pb.h"
#include "executor/cas/file_memo.h"
#include "executor/cas/remote/remote_store.h"
#include "executor/cas/remote/uploader.h"
#include "executor/engine/external_inputs.h"
#include "executor/engine/home.h"
#include "executor/engine/tool_store.h"
#include "executor/engine/train_chain.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

// Everything that is kept between runs.
struct Store {
  explicit Store(Home home) : home(std::move(home)) {}
  Home home;
  std::unique_ptr<Cas> cas;
  std::unique_ptr<ActionCache> cache;
  std::unique_ptr<FileMemo> memo;
  std::unique_ptr<ToolStore> tools;
  std::unique_ptr<RemoteStore> remotes;  // null: no cache is shared
  std::unique_ptr<Uploader> uploads;     // with `remotes`
  int threads = 1;
};

struct Decision {
  Digest key;
  KeyRecord key_record;     // unset where `entry` is complete and nothing is to run: it is in there
  std::string tool_digest;  // "sha256:...", or ""
  std::map<std::string, DigestedInput> external;  // by input name
  std::vector<std::string> lock_differences;

  EntryState state = EntryState::kAbsent;
  ActionEntry entry;  // unless absent; without `key`
  // Of known ones: all bytes that are missing here were seen on shared caches. Of absent ones that a cache has, too:
  // those are known from then on.
  absl::optional<RemotePlace> remote;

  // Of `train` stages that are to run.
  absl::optional<Digest> chain_key;
  ChainPosition chain;
};

struct DecideOptions {
  bool force = false;             // what is recorded of the stage's own is not looked for
  bool will_run = false;          // although it is recorded: what running takes is decided, too
  bool record_of_cached = false;  // `key_record` of complete entries, too: it costs more than all the rest
  bool ask_remotes = true;
  bool keep_remote = true;  // what a shared cache has of the stage is recorded here
};

// `producer[e]`: the entry of the stage that makes the input `edges[e]`. The caller holds a Cas::Hold.
//   FailedPrecondition: an input is unresolved, a tool is missing.  NotFound: a file is.
absl::StatusOr<Decision> Decide(Store& store, const ResolvedPipeline& pipeline, int stage_index,
                                const std::vector<const ActionEntry*>& producer, const DecideOptions& options);

// Sets `remote` of a known entry, if shared caches have what is missing.
void FindRemotely(Store& store, Decision& decision);

// The trees of an entry's outputs.
std::vector<Digest> TreesOf(const ActionEntry& entry);

// The tree of a producer's output. NotFound: its entry has none of that name.
absl::StatusOr<const OutputTree*> FindOutput(const ActionEntry& entry, const std::string& name);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_DECIDE_H_
