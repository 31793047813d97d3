#include "trainer/comm/shared_memory_comm.h"

#include <dirent.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "trainer/comm/conformance.h"
#include "trainer/comm/scripted_comm.h"
#include "trainer/comm/thread_comm.h"

namespace millrace::trainer {
namespace {

// Each thread's rank over a comm of its own.
std::vector<absl::Status> RunGang(int world_size, const std::function<absl::Status(Comm&)>& body) {
  std::vector<std::unique_ptr<Comm>> inner = NewThreadComms(world_size);
  return RunThreadGang(world_size, [&](Comm& comm) {
    const std::unique_ptr<Comm> shared = NewSharedMemoryComm(std::move(inner[comm.rank()]));
    return body(*shared);
  });
}

int NamedSegments() {
  DIR* dir = ::opendir("/dev/shm");
  int count = 0;
  while (const dirent* entry = dir == nullptr ? nullptr : ::readdir(dir))
    count += absl::StartsWith(entry->d_name, "millrace-");
  if (dir != nullptr) ::closedir(dir);
  return count;
}

TEST(SharedMemoryCommTest, Conformance) {
  for (const int world_size : {1, 2, 3}) {
    for (const absl::Status& status : RunGang(world_size, CommConformance)) EXPECT_EQ(status, absl::OkStatus());
  }
}

TEST(SharedMemoryCommTest, SumsInItsOwnMemory) {
  constexpr int64_t kCount = 100003;
  for (const int world_size : {1, 2, 3, 5}) {
    const auto statuses = RunGang(world_size, [&](Comm& comm) -> absl::Status {
      ASSIGN_OR_RETURN(void* first, comm.Allocate(8));
      ASSIGN_OR_RETURN(void* memory, comm.Allocate(kCount * 8));
      if (reinterpret_cast<uintptr_t>(memory) % 64 != 0 || first == memory) return absl::InternalError("memory");
      int64_t* values = static_cast<int64_t*>(memory);
      for (int round = 1; round <= 3; ++round) {
        for (int64_t i = 0; i < kCount; ++i) values[i] = (comm.rank() + 1) * round * i;
        // All but the ends.
        RETURN_IF_ERROR(comm.AllReduceSum(absl::MakeSpan(values + 1, kCount - 2), "values"));
        const int64_t factor = world_size * (world_size + 1) / 2 * round;
        for (int64_t i = 0; i < kCount; ++i) {
          const int64_t expected = i == 0 || i == kCount - 1 ? (comm.rank() + 1) * round * i : factor * i;
          if (values[i] != expected) return absl::InternalError(absl::StrCat("value ", i, " is ", values[i]));
        }
        // Nobody changes a value that another still reads.
        RETURN_IF_ERROR(comm.Barrier("round"));
      }
      float* floats = static_cast<float*>(memory);
      std::fill(floats, floats + kCount, 0.5f);
      RETURN_IF_ERROR(comm.AllReduceSum(absl::MakeSpan(floats, kCount), "floats"));
      return floats[kCount - 1] == 0.5f * world_size ? absl::OkStatus() : absl::InternalError("floats");
    });
    for (const absl::Status& status : statuses) EXPECT_EQ(status, absl::OkStatus());
  }
  EXPECT_EQ(NamedSegments(), 0);
}

TEST(SharedMemoryCommTest, LargeSumsCostTheInnerCommTwoSmallOnes) {
  SingleComm single;
  auto scripted = std::make_unique<ScriptedComm>(&single, std::map<int, absl::Status>());
  const ScriptedComm* inner = scripted.get();
  const std::unique_ptr<Comm> comm = NewSharedMemoryComm(std::move(scripted));
  const auto memory = comm->Allocate(1 << 20);
  ASSERT_TRUE(memory.ok());
  const size_t before = inner->calls().size();
  ASSERT_TRUE(comm->AllReduceSum(absl::MakeSpan(static_cast<int64_t*>(*memory), 1 << 17), "gradients").ok());
  EXPECT_EQ(inner->calls().size(), before + 2);
  EXPECT_EQ(inner->calls().back(), "all-reduce gradients (1)");
}

TEST(SharedMemoryCommTest, APeerThatIsGone) {
  const auto statuses = RunGang(2, [&](Comm& comm) -> absl::Status {
    ASSIGN_OR_RETURN(void* memory, comm.Allocate(1 << 20));
    if (comm.rank() == 1) return absl::AbortedError("enough");
    return comm.AllReduceSum(absl::MakeSpan(static_cast<int64_t*>(memory), 1 << 17), "gradients");
  });
  EXPECT_EQ(statuses[0].message(), "rank 0 of 2: all-reduce of gradients: rank 1 is gone");
}

// Where the ranks do not see one another's memory, the inner comm's serves.
TEST(SharedMemoryCommTest, WithoutRoom) {
  const auto statuses = RunGang(2, [&](Comm& comm) -> absl::Status {
    // More than /dev/shm ever has, and little of it is touched.
    ASSIGN_OR_RETURN(void* memory, comm.Allocate(int64_t{1} << 40));
    std::vector<int64_t> here = {1};
    RETURN_IF_ERROR(comm.AllReduceSum(absl::MakeSpan(here), "here"));
    return memory != nullptr && here[0] == 2 ? absl::OkStatus() : absl::InternalError("no memory");
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(NamedSegments(), 0);
}

}  // namespace
}  // namespace millrace::trainer
