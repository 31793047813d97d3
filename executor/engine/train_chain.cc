// Steps are deterministic: all recorded ways to a step of this run lead to the same state. So the walk is a sweep over
// segments by first step, keeping for each state that is reached how it was reached.
#include "executor/engine/train_chain.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "executor/graph/action_key.h"

namespace millrace {
namespace {

using State = std::pair<int64_t, std::string>;  // step, digest

// "step 264 would use learning rate 1.26e-3 instead of 4.00e-3".
std::string Difference(const ResolvedStage& stage, const TrainData& data, const SegmentEntry& segment) {
  const std::vector<double>& rate = stage.train_steps->learning_rate;
  const int64_t last = std::min<int64_t>(
      {segment.last(), stage.train_steps->total_steps, segment.first() + segment.learning_rate_size()});
  for (int64_t step = segment.first() + 1; step <= last; ++step) {
    const double recorded = segment.learning_rate(static_cast<int>(step - segment.first() - 1));
    if (rate[step - 1] == recorded) continue;
    return absl::StrFormat("step %d would use learning rate %.3g instead of %.3g", step, rate[step - 1], recorded);
  }
  if (segment.last() > stage.train_steps->total_steps) {
    return absl::StrFormat("the next recorded state is after step %d, beyond the last one, %d", segment.last(),
                           stage.train_steps->total_steps);
  }
  return absl::StrFormat("steps %d to %d would %s than recorded", segment.first() + 1, segment.last(),
                         data.Matches(segment) ? "use other learning rates" : "read other data");
}

std::string AsBytes(const Sha256Bytes& digest) { return std::string(digest.begin(), digest.end()); }

}  // namespace

ChainPosition WalkChain(std::vector<SegmentEntry> segments, const std::function<bool(const Digest&)>& has_state,
                        const ResolvedStage& stage, const TrainData& data) {
  ChainPosition position;
  const int64_t total_steps = stage.train_steps->total_steps;
  std::stable_sort(segments.begin(), segments.end(), [](const SegmentEntry& a, const SegmentEntry& b) {
    // Among those that start at a step the longest first: fewer segments on the way.
    return std::pair(a.first(), -a.last()) < std::pair(b.first(), -b.last());
  });

  std::map<State, const SegmentEntry*> reached = {{{0, ""}, nullptr}};
  const SegmentEntry* left = nullptr;  // the nearest segment that this run does not follow
  for (const SegmentEntry& segment : segments) {
    if (!reached.contains({segment.first(), segment.parent()})) continue;
    const State end = {segment.last(), segment.state().digest()};
    if (segment.first() == segment.last()) {
      if (segment.last() == total_steps && segment.has_completed() && data.Matches(segment))
        position.completed = segment.completed();
      continue;
    }
    const bool fits = segment.last() <= total_steps;
    if (fits && AsBytes(StepsDigest(stage, segment.first(), segment.last())) == segment.steps_digest() &&
        data.Matches(segment)) {
      reached.try_emplace(end, &segment);
    } else if (left == nullptr || segment.first() >= left->first()) {
      left = &segment;
    }
  }
  position.known_step = reached.rbegin()->first.first;
  if (position.known_step < total_steps) position.completed.reset();

  for (auto at = reached.rbegin(); at != reached.rend() && at->second != nullptr; ++at) {
    const absl::StatusOr<Digest> state = Digest::Parse(at->first.second);
    if (!state.ok() || !has_state(*state)) continue;
    position.resume_step = at->first.first;
    position.resume_state = at->second->state();
    EventCollector curves;
    for (const SegmentEntry* segment = at->second; segment != nullptr;) {
      curves.AddCurves(segment->curve());
      position.seconds += segment->duration_seconds();
      segment = reached.at({segment->first(), segment->parent()});
    }
    position.curves = curves.CurvesBetween(0, position.resume_step);
    break;
  }
  if (left != nullptr && left->last() > position.known_step) position.ends_because = Difference(stage, data, *left);
  return position;
}

}  // namespace millrace
