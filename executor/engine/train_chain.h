// A train stage as a chain of recorded segments.
//
// A segment says: from the state with this digest, steps a+1..b, which used these learning rates and read these data,
// led to that state. Boundaries are in no key. A run follows recorded segments from the initial state as far as they
// are a prefix of its own steps: that is where it resumes, be it after a crash, with a larger budget, with another end
// of the schedule, or with a mixture that goes on differently.
#ifndef MILLRACE_EXECUTOR_ENGINE_TRAIN_CHAIN_H_
#define MILLRACE_EXECUTOR_ENGINE_TRAIN_CHAIN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "executor/cas/digest.h"
#include "executor/cas/entry.pb.h"
#include "executor/engine/event_collector.h"
#include "executor/engine/train_data.h"
#include "executor/graph/resolved_pipeline.h"

namespace millrace {

struct ChainPosition {
  // Where training can go on: the last state of a recorded prefix whose bytes are there. Step 0 is the initial state.
  int64_t resume_step = 0;
  OutputTree resume_state;  // unset at step 0
  CurveList curves;         // of steps up to resume_step
  double seconds = 0;       // that the segments up to it took

  // The farthest state that is recorded, with or without its bytes.
  int64_t known_step = 0;
  // What a trainer that ended at this stage's last step left, if one did and the state is there by digest: nothing
  // needs to run.
  absl::optional<ActionEntry> completed;

  // Why the recorded segments end where they do: "step 264 would use learning rate 1.26e-3 instead of 4.00e-3", "steps
  // 261 to 270 would read other data"; empty if nothing beyond is recorded.
  std::string ends_because;
};

// Walks the chain with these segments. `has_state`: whether a state's bytes are to be had.
ChainPosition WalkChain(std::vector<SegmentEntry> segments, const std::function<bool(const Digest&)>& has_state,
                        const ResolvedStage& stage, const TrainData& data);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_ENGINE_TRAIN_CHAIN_H_
