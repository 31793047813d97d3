// Rules 1 to 3 walk each rank's list with a state for each buffer. Rule 4 runs all ranks together: a collective waits
// until every rank stands at the same one, a receive until its send has been issued.
#include "trainer/schedule/check.h"

#include <algorithm>
#include <deque>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

bool IsCollective(Op op) { return op == Op::kAllReduce || op == Op::kReduceScatter || op == Op::kGather; }

class RankChecker {
 public:
  RankChecker(const Schedule& schedule, int rank) : schedule_(schedule), rank_(rank) {
    states_.resize(schedule.buffers.size());
    for (size_t i = 0; i < states_.size(); ++i) {
      if (schedule.buffers[i].persistent()) states_[i] = State::kWritten;
    }
    reduced_.resize(schedule.buckets.size());
    stepped_.resize(schedule.units.size());
    sum_complete_.resize(schedule.units.size());
  }

  // Adds this rank's contributions, by (block, leaf, unit), to `contributions`.
  absl::Status Check(std::map<std::tuple<int, int, int>, int>& contributions) {
    for (position_ = 0; position_ < schedule_.ranks[rank_].size(); ++position_) {
      const Instruction& instruction = schedule_.ranks[rank_][position_];
      if (instruction.op == Op::kRelease) {
        RETURN_IF_ERROR(CheckRelease(instruction));
        continue;
      }
      for (const int id : instruction.reads) RETURN_IF_ERROR(CheckRead(id));
      RETURN_IF_ERROR(CheckRules(instruction, contributions));
      for (const int id : instruction.writes) RETURN_IF_ERROR(CheckWrite(id, instruction));
    }
    return CheckEnd();
  }

 private:
  enum class State { kUnwritten, kWritten, kReleased };

  absl::Status Wrong(absl::string_view what) const {
    const auto& list = schedule_.ranks[rank_];
    return absl::InternalError(
        absl::StrCat("schedule of rank ", rank_, ", ",
                     position_ < list.size()
                         ? absl::StrCat("instruction ", position_, " (", schedule_.ToString(list[position_]), ")")
                         : "end",
                     ": ", what));
  }
  std::string Name(int id) const { return absl::StrCat("\"", schedule_.buffers[id].name, "\""); }

  absl::Status CheckRead(int id) const {
    if (states_[id] == State::kUnwritten) return Wrong(absl::StrCat("reads ", Name(id), " before it is written"));
    if (states_[id] == State::kReleased) return Wrong(absl::StrCat("reads ", Name(id), " after its release"));
    return absl::OkStatus();
  }

  absl::Status CheckWrite(int id, const Instruction& instruction) {
    if (states_[id] == State::kReleased) return Wrong(absl::StrCat("writes ", Name(id), " after its release"));
    const bool in_place = std::find(instruction.reads.begin(), instruction.reads.end(), id) != instruction.reads.end();
    if (states_[id] == State::kWritten && !in_place) return Wrong(absl::StrCat("writes ", Name(id), " a second time"));
    states_[id] = State::kWritten;
    return absl::OkStatus();
  }

  absl::Status CheckRelease(const Instruction& instruction) {
    for (const int id : instruction.reads) {
      RETURN_IF_ERROR(CheckRead(id));
      if (schedule_.buffers[id].persistent())
        return Wrong(absl::StrCat("releases ", Name(id), ", which is persistent"));
      states_[id] = State::kReleased;
    }
    return absl::OkStatus();
  }

  absl::Status CheckRules(const Instruction& instruction, std::map<std::tuple<int, int, int>, int>& contributions) {
    switch (instruction.op) {
      case Op::kForward:
      case Op::kBackward:
        for (size_t u = 0; u < stepped_.size(); ++u) {
          const auto& reads = instruction.reads;
          if (stepped_[u] && std::find(reads.begin(), reads.end(), schedule_.units[u].weights) != reads.end())
            return Wrong("reads weights that this step has already changed");
        }
        return absl::OkStatus();
      case Op::kZero:
      case Op::kAccumulate:
        if (sum_complete_[instruction.unit]) return Wrong("adds to a sum that has been reduced");
        if (instruction.op == Op::kAccumulate) ++contributions[{instruction.block, instruction.leaf, instruction.unit}];
        return absl::OkStatus();
      case Op::kAllReduce:
      case Op::kReduceScatter:
        if (++reduced_[instruction.bucket] > 1) return Wrong("reduces a bucket a second time");
        for (const int u : schedule_.buckets[instruction.bucket].units) sum_complete_[u] = true;
        return absl::OkStatus();
      case Op::kNorm:
        for (size_t i = 0; i < reduced_.size(); ++i) {
          if (reduced_[i] == 0) return Wrong(absl::StrCat("bucket ", i, " has not been reduced"));
        }
        normed_ = true;
        return absl::OkStatus();
      case Op::kStep:
        if (!normed_) return Wrong("steps before the norm is known");
        if (++stepped_[instruction.unit] > 1) return Wrong("steps a unit a second time");
        return absl::OkStatus();
      case Op::kLoad:
      case Op::kGather:
      case Op::kSend:
      case Op::kReceive:
      case Op::kRelease:
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  absl::Status CheckEnd() const {
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i] == State::kWritten && !schedule_.buffers[i].persistent())
        return Wrong(absl::StrCat(Name(i), " is never released"));
    }
    for (size_t u = 0; u < schedule_.units.size(); ++u) {
      if (schedule_.units[u].weights >= 0 && stepped_[u] == 0)
        return Wrong(absl::StrCat("unit \"", schedule_.units[u].name, "\" is never stepped"));
    }
    return absl::OkStatus();
  }

  const Schedule& schedule_;
  const int rank_;
  size_t position_ = 0;
  std::vector<State> states_;
  std::vector<int> reduced_;        // by bucket
  std::vector<int> stepped_;        // by unit
  std::vector<bool> sum_complete_;  // by unit
  bool normed_ = false;
};

absl::Status CheckContributions(const Schedule& schedule, const std::map<std::tuple<int, int, int>, int>& found) {
  size_t expected = 0;
  for (size_t u = 0; u < schedule.units.size(); ++u) {
    for (const int b : schedule.units[u].blocks) {
      for (int leaf = 0; leaf < schedule.num_leaves; ++leaf) {
        ++expected;
        const auto it = found.find({b, leaf, static_cast<int>(u)});
        const int count = it == found.end() ? 0 : it->second;
        if (count == 1) continue;
        return absl::InternalError(absl::StrCat("schedule: leaf ", leaf, "'s gradient of unit \"",
                                                schedule.units[u].name, "\" from block \"", schedule.blocks[b],
                                                "\" is accumulated ", count, " times, not once"));
      }
    }
  }
  if (found.size() != expected) return absl::InternalError("schedule: a leaf or block that is not there contributes");
  return absl::OkStatus();
}

absl::Status CheckCommunication(const Schedule& schedule) {
  const int world_size = schedule.world_size;
  std::vector<size_t> at(world_size);
  std::map<std::pair<int, int>, std::deque<std::vector<int>>> in_flight;  // (from, to) -> buffers
  const auto ended = [&](int rank) { return at[rank] >= schedule.ranks[rank].size(); };
  bool moved = true;
  while (moved) {
    moved = false;
    for (int rank = 0; rank < world_size; ++rank) {
      for (; !ended(rank); ++at[rank], moved = true) {
        const Instruction& instruction = schedule.ranks[rank][at[rank]];
        if (IsCollective(instruction.op)) break;
        if (instruction.op == Op::kSend) in_flight[{rank, instruction.peer}].push_back(instruction.reads);
        if (instruction.op != Op::kReceive) continue;
        auto& queue = in_flight[{instruction.peer, rank}];
        if (queue.empty()) break;
        if (queue.front() != instruction.writes) {
          return absl::InternalError(absl::StrCat("schedule of rank ", rank, ", instruction ", at[rank], " (",
                                                  schedule.ToString(instruction), "): rank ", instruction.peer,
                                                  " sends something else"));
        }
        queue.pop_front();
      }
    }
    bool all_at_collective = true;
    for (int rank = 0; rank < world_size; ++rank) {
      all_at_collective &= !ended(rank) && IsCollective(schedule.ranks[rank][at[rank]].op);
    }
    if (!all_at_collective) continue;
    const Instruction& first = schedule.ranks[0][at[0]];
    for (int rank = 1; rank < world_size; ++rank) {
      if (schedule.ranks[rank][at[rank]] == first) continue;
      return absl::InternalError(absl::StrCat("schedule: rank 0 is at ", schedule.ToString(first), " while rank ", rank,
                                              " is at ", schedule.ToString(schedule.ranks[rank][at[rank]])));
    }
    for (size_t& position : at) ++position;
    moved = true;
  }
  for (int rank = 0; rank < world_size; ++rank) {
    if (ended(rank)) continue;
    return absl::InternalError(absl::StrCat("schedule of rank ", rank, ", instruction ", at[rank], " (",
                                            schedule.ToString(schedule.ranks[rank][at[rank]]),
                                            "): waits for ever for another rank"));
  }
  for (const auto& [pair, queue] : in_flight) {
    if (queue.empty()) continue;
    return absl::InternalError(absl::StrCat("schedule: rank ", pair.second, " never receives what rank ", pair.first,
                                            " sends (\"", schedule.buffers[queue.front().front()].name, "\")"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSchedule(const Schedule& schedule) {
  if (static_cast<int>(schedule.ranks.size()) != schedule.world_size)
    return absl::InternalError("schedule: the number of lists is not the number of ranks");
  std::map<std::tuple<int, int, int>, int> contributions;
  for (int rank = 0; rank < schedule.world_size; ++rank) {
    RETURN_IF_ERROR(RankChecker(schedule, rank).Check(contributions));
  }
  RETURN_IF_ERROR(CheckContributions(schedule, contributions));
  return CheckCommunication(schedule);
}

}  // namespace millrace::trainer
