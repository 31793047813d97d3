// Which component each position of a mixture is taken from: shares that are exact over every prefix.
#ifndef MILLRACE_DATA_SHARDS_MIX_ORDER_H_
#define MILLRACE_DATA_SHARDS_MIX_ORDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/schema/mix.pb.h"

namespace millrace::data {

struct MixComponent {
  double weight = 0;      // 0 or more; only their proportions count
  int64_t sequences = 0;  // at least 1 where weight > 0
  double max_epochs = 1;

  // How often it can be taken before the order ends.
  int64_t limit(Mix::Exhausted when_exhausted) const;
};

// Tijdeman's rule ("The chairman assignment problem", Discrete Mathematics 32, 1980), in integers. Sequences of a
// mixture all have one length, so shares of sequences are shares of tokens. With k components of share w, after every
// n positions
//   |times taken - n w| <= 1 - 1/(2k - 2)
// (under REDISTRIBUTE, from the last position on at which a component was used up). What comes at a position depends on
// nothing that comes later: not on how long the order is, nor, until it ends the order, on a limit.
// Time O(k) a position, memory O(k). Not thread-safe.
class MixOrder {
 public:
  struct Position {
    uint32_t component = 0;
    int64_t nth = 0;  // how often the component was taken before
  };

  MixOrder(std::vector<MixComponent> components, Mix::Exhausted when_exhausted);

  // The next position, or nothing: the order has ended.
  std::optional<Position> Next();
  // The component that would have been taken too often when the order ended; none when all were used up.
  std::optional<uint32_t> ended_by() const { return ended_by_; }

 private:
  struct State {
    uint32_t index = 0;
    int64_t weight = 0;  // in units of 2^-53
    int64_t limit = 0;
    int64_t taken = 0;
    int64_t deficit = 0;  // n weight - taken total_weight
  };

  const Mix::Exhausted when_exhausted_;
  std::vector<State> active_;  // weight above 0, by index
  int64_t total_weight_ = 0;
  std::optional<uint32_t> ended_by_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SHARDS_MIX_ORDER_H_
