#include "trainer/schedule/simulate.h"

namespace millrace::trainer {

MemoryProfile SimulateMemory(const Schedule& schedule, int rank) {
  const std::vector<Instruction>& list = schedule.ranks[rank];
  std::vector<bool> live(schedule.buffers.size());
  std::map<BufferKind, int64_t> by_kind;
  int64_t total = 0;
  const auto set_live = [&](int id, bool value) {
    if (live[id] == value) return;
    live[id] = value;
    const int64_t change = value ? schedule.buffers[id].size_bytes : -schedule.buffers[id].size_bytes;
    by_kind[schedule.buffers[id].kind] += change;
    total += change;
  };
  for (const Instruction& instruction : list) {
    for (const auto* ids : {&instruction.reads, &instruction.writes}) {
      for (const int id : *ids) {
        if (schedule.buffers[id].persistent()) set_live(id, true);
      }
    }
  }
  MemoryProfile profile;
  for (size_t i = 0; i < list.size(); ++i) {
    for (const int id : list[i].writes) set_live(id, true);
    profile.live_bytes.push_back(total);
    if (total > profile.peak_bytes) {
      profile.peak_bytes = total;
      profile.peak_instruction = static_cast<int>(i);
      profile.at_peak_bytes = by_kind;
    }
    if (list[i].op == Op::kRelease) {
      for (const int id : list[i].reads) set_live(id, false);
    }
  }
  return profile;
}

}  // namespace millrace::trainer
