// Before position n each component i has the deficit d_i = n w_i - taken_i. Among those with d_i >= 1/(2k-2) the one
// is taken that would first have to be: whose d_i would reach 1 - 1/(2k-2) soonest. Everything below is that, times
// total_weight, times 2k-2.
#include "data/shards/mix_order.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace millrace::data {

int64_t MixComponent::limit(Mix::Exhausted when_exhausted) const {
  const double epochs = when_exhausted == Mix::REPEAT ? max_epochs : std::min(max_epochs, 1.0);
  // 0.7 x 10 must be 7 although 0.7 is not a binary fraction.
  const double most = std::floor(epochs * static_cast<double>(sequences) + 1e-6);
  return static_cast<int64_t>(std::min(most, 1e18));
}

MixOrder::MixOrder(std::vector<MixComponent> components, Mix::Exhausted when_exhausted)
    : when_exhausted_(when_exhausted) {
  double sum = 0;
  for (const MixComponent& component : components) sum += component.weight;
  for (uint32_t i = 0; i < components.size(); ++i) {
    if (!(components[i].weight > 0)) continue;
    State state;
    state.index = i;
    state.weight = std::max<int64_t>(1, std::llround(components[i].weight / sum * 0x1p53));
    state.limit = components[i].limit(when_exhausted);
    total_weight_ += state.weight;
    active_.push_back(state);
  }
}

std::optional<MixOrder::Position> MixOrder::Next() {
  using Int128 = __int128;
  if (when_exhausted_ == Mix::REDISTRIBUTE) {
    const auto used_up = [](const State& state) { return state.taken >= state.limit; };
    if (std::any_of(active_.begin(), active_.end(), used_up)) {
      std::erase_if(active_, used_up);
      total_weight_ = 0;
      for (State& state : active_) {
        state.deficit = 0;
        total_weight_ += state.weight;
      }
    }
  }
  if (active_.empty() || ended_by_.has_value()) return std::nullopt;

  const int64_t scale = std::max<int64_t>(1, 2 * static_cast<int64_t>(active_.size()) - 2);
  State* best = nullptr;
  Int128 best_slack = 0;
  for (State& state : active_) {
    state.deficit += state.weight;
    if (Int128{state.deficit} * scale < total_weight_) continue;
    const Int128 slack = Int128{total_weight_} * (scale - 1) - Int128{state.deficit} * scale;
    // slack / weight < best_slack / best->weight
    if (best == nullptr || slack * best->weight < best_slack * state.weight) {
      best = &state;
      best_slack = slack;
    }
  }
  MILLRACE_CHECK(best != nullptr);
  if (best->taken >= best->limit) {
    ended_by_ = best->index;
    return std::nullopt;
  }
  best->deficit -= total_weight_;
  return Position{best->index, best->taken++};
}

}  // namespace millrace::data
