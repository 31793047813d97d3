// Injects faults into good schedules: each dropped or doubled instruction must be caught, and of two neighbours that
// change places exactly those that depend on one another.
#include "trainer/schedule/check.h"

#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/schedule/testing.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

bool Contains(const std::vector<int>& ids, int id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

bool Writes(const Instruction& instruction, int id) {
  return Contains(instruction.op == Op::kRelease ? instruction.reads : instruction.writes, id);
}

bool IsCollective(const Instruction& instruction) { return instruction.op == Op::kAllReduce; }

// Whether exchanging neighbours `a`, `b` of one rank changes what is computed.
bool Depend(const Schedule& schedule, const Instruction& a, const Instruction& b) {
  if (IsCollective(a) && IsCollective(b) && schedule.world_size > 1) return true;
  const bool both_add = a.op == Op::kAccumulate && b.op == Op::kAccumulate && !a.overwrite && !b.overwrite;
  if (both_add) return false;  // integer addition commutes
  for (size_t id = 0; id < schedule.buffers.size(); ++id) {
    const int i = static_cast<int>(id);
    const bool used_by_a = Contains(a.reads, i) || Contains(a.writes, i);
    const bool used_by_b = Contains(b.reads, i) || Contains(b.writes, i);
    if (used_by_a && used_by_b && (Writes(a, i) || Writes(b, i))) return true;
  }
  return false;
}

std::vector<Schedule> GoodSchedules() {
  std::vector<Schedule> schedules;
  std::mt19937 random(20240607);
  for (int i = 0; i < 60; ++i) {
    DataParallelInput input = SmallInput(random() % 3, random() % 2, 1 + random() % 4, 1 + random() % 5);
    input.leaves_per_micro_batch = 1 + random() % 3;
    input.bucket_bytes = int64_t{1} << (8 + random() % 10);
    input.recompute = random() % 2;
    input.gradient_sum_bytes = random() % 4 == 0 ? 4 : 8;
    auto schedule = CompileDataParallel(input);
    EXPECT_TRUE(schedule.ok()) << schedule.status();
    schedules.push_back(*std::move(schedule));
  }
  return schedules;
}

TEST(CheckTest, AcceptsWhatThePassMakes) {
  for (const Schedule& schedule : GoodSchedules()) EXPECT_EQ(CheckSchedule(schedule), absl::OkStatus());
}

TEST(CheckTest, CatchesEachDroppedInstruction) {
  int faults = 0;
  for (const Schedule& good : GoodSchedules()) {
    for (int rank = 0; rank < good.world_size; ++rank) {
      for (size_t i = 0; i < good.ranks[rank].size(); ++i, ++faults) {
        Schedule bad = good;
        bad.ranks[rank].erase(bad.ranks[rank].begin() + i);
        EXPECT_FALSE(CheckSchedule(bad).ok()) << "rank " << rank << ": " << good.ToString(good.ranks[rank][i]);
      }
    }
  }
  EXPECT_GT(faults, 1000);
}

TEST(CheckTest, CatchesEachDoubledInstruction) {
  for (const Schedule& good : GoodSchedules()) {
    for (int rank = 0; rank < good.world_size; ++rank) {
      for (size_t i = 0; i < good.ranks[rank].size(); ++i) {
        Schedule bad = good;
        const Instruction again = bad.ranks[rank][i];
        bad.ranks[rank].insert(bad.ranks[rank].begin() + i, again);
        EXPECT_FALSE(CheckSchedule(bad).ok()) << "rank " << rank << ": " << good.ToString(again);
      }
    }
  }
}

TEST(CheckTest, CatchesSwappedNeighboursExactlyWhereTheyDepend) {
  int harmful = 0;
  for (const Schedule& good : GoodSchedules()) {
    for (int rank = 0; rank < good.world_size; ++rank) {
      for (size_t i = 0; i + 1 < good.ranks[rank].size(); ++i) {
        Schedule swapped = good;
        std::swap(swapped.ranks[rank][i], swapped.ranks[rank][i + 1]);
        const bool depend = Depend(good, good.ranks[rank][i], good.ranks[rank][i + 1]);
        harmful += depend;
        EXPECT_EQ(CheckSchedule(swapped).ok(), !depend) << "rank " << rank << ": " << good.ToString(good.ranks[rank][i])
                                                        << "\n  " << good.ToString(good.ranks[rank][i + 1]);
      }
    }
  }
  EXPECT_GT(harmful, 1000);
}

// A fault that is the same on all ranks: no disagreement gives it away.
TEST(CheckTest, CatchesFaultsOfAllRanksAtOnce) {
  auto good = CompileDataParallel(SmallInput(1, true, 2, 2));
  ASSERT_TRUE(good.ok());
  for (const bool twice : {false, true}) {
    Schedule bad = *good;
    for (auto& list : bad.ranks) {
      const auto it = std::find_if(list.begin(), list.end(), IsCollective);
      ASSERT_NE(it, list.end());
      twice ? (void)list.insert(it, Instruction(*it)) : (void)list.erase(it);
    }
    EXPECT_THAT(std::string(CheckSchedule(bad).message()),
                HasSubstr(twice ? "reduces a bucket a second time" : "bucket 0 has not been reduced"));
  }
}

TEST(CheckTest, NamesRankInstructionAndBuffer) {
  auto schedule = CompileDataParallel(SmallInput(0, false, 2, 2));
  ASSERT_TRUE(schedule.ok());
  schedule->ranks[1].erase(schedule->ranks[1].begin());
  EXPECT_EQ(CheckSchedule(*schedule).message(),
            "schedule of rank 1, instruction 0 (forward embed leaf=1 : weights.embed batch.1 -> out.embed.1 "
            "saved.embed.1): reads \"batch.1\" before it is written");
}

// Two ranks that pass one activation on; `receive_first` makes both wait for the other.
Schedule PingPong(bool receive_first, int received) {
  Schedule schedule;
  schedule.world_size = 2;
  schedule.num_leaves = 0;
  schedule.buffers = {{"a", BufferKind::kBatch, 4}, {"b", BufferKind::kBatch, 4}};
  for (int rank = 0; rank < 2; ++rank) {
    const int mine = rank, other = received < 0 ? 1 - rank : received;
    std::vector<Instruction> list = {{.op = Op::kLoad, .writes = {mine}},
                                     {.op = Op::kSend, .peer = 1 - rank, .reads = {mine}},
                                     {.op = Op::kReceive, .peer = 1 - rank, .writes = {other}}};
    if (receive_first) std::swap(list[1], list[2]);
    list.push_back({.op = Op::kRelease, .reads = {mine, other}});
    schedule.ranks.push_back(list);
  }
  return schedule;
}

TEST(CheckTest, SendsMeetTheirReceives) {
  // The norm rule asks for no bucket where there is none.
  EXPECT_EQ(CheckSchedule(PingPong(false, -1)), absl::OkStatus());
  EXPECT_THAT(std::string(CheckSchedule(PingPong(true, -1)).message()), HasSubstr("waits for ever"));
  EXPECT_FALSE(CheckSchedule(PingPong(false, 0)).ok());
  Schedule lost = PingPong(false, -1);
  lost.ranks[1].erase(lost.ranks[1].begin() + 2);
  lost.ranks[1].back().reads = {1};
  EXPECT_THAT(std::string(CheckSchedule(lost).message()), HasSubstr("rank 1 never receives what rank 0 sends"));
}

}  // namespace
}  // namespace millrace::trainer
