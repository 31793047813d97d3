// A pipeline after everything that can be known from its text: one profile applied, presets and units expanded,
// references resolved, stages in topological order. What the engine runs and the key is computed from.
#ifndef MILLRACE_EXECUTOR_GRAPH_RESOLVED_PIPELINE_H_
#define MILLRACE_EXECUTOR_GRAPH_RESOLVED_PIPELINE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/diagnostic.h"
#include "google/protobuf/message.h"
#include "pipelines/schema/cluster.pb.h"
#include "pipelines/schema/options.pb.h"
#include "pipelines/schema/pipeline.pb.h"
#include "pipelines/schema/reproducibility.pb.h"

namespace millrace {

struct Node;  // executor/graph/syntax_tree.h
class Sources;

// An input that another stage makes.
struct StageEdge {
  std::string name;    // as StageInput.name in pipelines/protocol/stage.proto: "from.0", "tokenizer"
  int producer = 0;    // index in ResolvedPipeline::stages
  std::string output;  // name of the producer's output: "documents"
  Artifact artifact = FILES;
  // False: the reference's effect is NONE ("validation.data"). It is an input, the stage waits for it, but its digest
  // is not in the key.
  bool in_key = true;
  std::string number_path;  // `name` with field numbers: "1.0", "13.1"
};

struct ExternalFile {
  std::string relative_path;  // what the stage sees below in/NAME/
  std::string absolute_path;
};

// An input from outside the pipeline: a corpus's files, a tokenizer folder, a custom stage's file.
struct ExternalInput {
  std::string name;  // "files", or the custom input's name
  Artifact artifact = FILES;
  std::vector<ExternalFile> files;  // by relative path, in byte order
  // Not empty: the files cannot be known here ("root \"corpora\" is not named: --data-root=corpora=DIR"); the stage's
  // key is unknown and `run` refuses.
  std::string unresolved;
  std::string lock;  // absolute path of the committed lock file, or ""
  Location location;
  std::string described;    // as the file says it: "corpora://wiki/*.jsonl", "bundled tiny_en"; in the recipe
  std::string number_path;  // "files", or for a custom input its field numbers: "3.0.3"
};

struct OutputSpec {
  std::string name;
  Artifact artifact = FILES;
};

struct ResolvedStage {
  std::string name;
  std::string kind;  // field name in Stage.kind: "dedup"
  std::string description;
  // The kind's message as it goes into StageRequest.parameters: defaults unset, presets expanded, units plain numbers,
  // `source_of` names replaced by ordinals, references to stages cleared (they are `edges`).
  std::shared_ptr<const google::protobuf::Message> parameters;
  Execution execution;  // units as plain numbers
  Location location;    // of the stage in the file
  // Where a field that is set was written, by path within the kind ("optimizer.adamw.learning_rate"): in the base file,
  // in a profile or in a "--set PATH=VALUE". The deepest message on the way if the field is not set.
  Location OriginOf(absl::string_view path) const;
  std::shared_ptr<const Node> written;  // the kind's message as written, with places; for OriginOf
  std::shared_ptr<const Sources> sources_of_text;
  std::vector<StageEdge> edges;
  std::vector<ExternalInput> external_inputs;
  std::vector<OutputSpec> outputs;   // default first
  std::vector<std::string> sources;  // corpus stages by ordinal, of the documents that this stage's outputs hold

  std::string tool;                  // name in the tool manifest: the kind, or a custom stage's label; "" for a command
  std::vector<std::string> command;  // custom { command }
  bool uses_seed = false;            // the seed is in its key and request
  bool uses_floating_point = false;  // numerics class in its key; reproducibility in its request
  int ranks = 1;                     // processes of its gang (train: data_parallel_size)
  int threads_per_rank = 0;          // 0: the engine decides

  // Only for `train`: what its steps use, for the chain of segments (executor/engine/train_chain.h).
  struct TrainSteps {
    int64_t total_steps = 0;
    int64_t tokens_per_step = 0;
    std::vector<double> learning_rate;  // [total_steps], of steps 1..total_steps
  };
  std::optional<TrainSteps> train_steps;
};

struct ResolvedPipeline {
  std::string name;
  std::string profile;  // "" when the file has none
  std::string file;     // as named by the user
  uint64_t seed = 42;
  Reproducibility reproducibility;
  Numerics numerics = CPU_AVX2;
  std::string launcher;  // of the cluster: "ssh" or "slurm"; "": this machine
  Network network;       // of the cluster, units as plain numbers; in no key
  std::vector<ResolvedStage> stages;  // topological; among equals, file order
  std::vector<Expectation> expectations;
  Diagnostics warnings;
  // What `check` could not look at here, a line each: "corpus \"web_en\": corpora:// is not named (--data-root)".
  std::vector<std::string> unchecked;
  // The merged file as text, as `plan --resolved` prints it.
  std::string text;

  int FindStage(absl::string_view stage_name) const;  // -1: none
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_RESOLVED_PIPELINE_H_
