// Checks across fields of a stage and across stages, and what one stage says of the data of the next.
#ifndef MILLRACE_EXECUTOR_GRAPH_STAGE_CHECKS_H_
#define MILLRACE_EXECUTOR_GRAPH_STAGE_CHECKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "executor/graph/resolved_pipeline.h"
#include "executor/graph/stage_graph.h"
#include "executor/graph/tool_manifest.h"

namespace millrace {

// What is known of a stage's outputs before it runs.
struct StageFacts {
  std::vector<std::string> sources;  // ResolvedStage::sources
  int tokenizer = -1;                // stage whose ids are in them, by index; -1: unknown
  int64_t vocabulary_size = 0;       // of a tokenizer: ids are below it; 0: unknown
  int64_t sequence_length = 0;       // of shards and mixtures; 0: unknown
  // Something that the stage needs is wrong, and has been reported: what is unknown here may be known once it is right.
  bool incomplete = false;
};

// What the checks of one stage may look at. Stages that it needs have been through them.
struct CheckContext {
  const std::vector<StageDraft>& drafts;
  const std::vector<StageFacts>& facts;  // by index
  const Reproducibility& reproducibility;
  const ToolManifest* manifest;  // may be null
  const Sources& sources;
  Diagnostics& diagnostics;
};

// Facts of the stage: those of the stages that it reads, changed by its kind. `external` are its own files.
StageFacts DeriveFacts(const CheckContext& context, const StageDraft& draft, int index,
                       const std::vector<ExternalInput>& external);

// Checks of all kinds but `train`.
void CheckStage(const CheckContext& context, const StageDraft& draft);

// `train` is the stage's message with its preset expanded and units as plain numbers. Fills in its steps.
void CheckTrain(const CheckContext& context, const StageDraft& draft, const Train& train, const StageFacts& facts,
                ResolvedStage& resolved);

// Expectations, which name stages by index in `needed` (their drafts).
void CheckExpectation(const CheckContext& context, const Node& expectation, const std::vector<bool>& needed);

// Replaces each string with `source_of` by its ordinal; reports names that are no source. After CheckStage.
void ResolveSources(const CheckContext& context, const StageDraft& draft);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_STAGE_CHECKS_H_
