#include "trainer/schedule/schedule.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace::trainer {

absl::string_view OpName(Op op) {
  switch (op) {
    case Op::kLoad:
      return "load";
    case Op::kForward:
      return "forward";
    case Op::kBackward:
      return "backward";
    case Op::kZero:
      return "zero";
    case Op::kAccumulate:
      return "accumulate";
    case Op::kAllReduce:
      return "all_reduce";
    case Op::kReduceScatter:
      return "reduce_scatter";
    case Op::kGather:
      return "gather";
    case Op::kSend:
      return "send";
    case Op::kReceive:
      return "receive";
    case Op::kNorm:
      return "norm";
    case Op::kStep:
      return "step";
    case Op::kRelease:
      return "release";
  }
  return "?";
}

std::string Schedule::ToString(const Instruction& instruction) const {
  const auto names = [this](const std::vector<int>& ids) {
    return absl::StrJoin(ids, " ", [this](std::string* out, int id) { absl::StrAppend(out, buffers[id].name); });
  };
  std::string text(OpName(instruction.op));
  if (instruction.block >= 0) absl::StrAppend(&text, " ", blocks[instruction.block]);
  if (instruction.unit >= 0) absl::StrAppend(&text, " unit=", units[instruction.unit].name);
  if (instruction.bucket >= 0) absl::StrAppend(&text, " bucket=", instruction.bucket);
  if (instruction.leaf >= 0) absl::StrAppend(&text, " leaf=", instruction.leaf);
  if (instruction.peer >= 0) absl::StrAppend(&text, " peer=", instruction.peer);
  if (instruction.overwrite) absl::StrAppend(&text, " first");
  if (!instruction.reads.empty()) absl::StrAppend(&text, " : ", names(instruction.reads));
  if (!instruction.writes.empty()) absl::StrAppend(&text, " -> ", names(instruction.writes));
  return text;
}

std::string Schedule::ToString() const {
  std::string text = absl::StrCat("schedule ranks=", world_size, " leaves=", num_leaves, " blocks=", blocks.size(),
                                  " units=", units.size(), " buckets=", buckets.size(), "\n");
  for (size_t i = 0; i < buckets.size(); ++i) {
    absl::StrAppend(&text, "bucket ", i, ":");
    for (const int u : buckets[i].units) absl::StrAppend(&text, " ", units[u].name, "(", units[u].elements, ")");
    absl::StrAppend(&text, "\n");
  }
  for (int rank = 0; rank < world_size; ++rank) {
    absl::StrAppend(&text, "rank ", rank, "\n");
    for (const Instruction& instruction : ranks[rank]) absl::StrAppend(&text, "  ", ToString(instruction), "\n");
  }
  return text;
}

}  // namespace millrace::trainer
