#include "trainer/comm/conformance.h"

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

// What rank `rank` brings, known to all.
std::vector<int64_t> ValuesOf(int rank, size_t count) {
  std::mt19937_64 random(1000 * rank + count);
  std::vector<int64_t> values(count);
  for (int64_t& value : values) value = static_cast<int64_t>(random()) >> 5;
  return values;
}

absl::Status Expect(bool condition, absl::string_view what) {
  return condition ? absl::OkStatus() : absl::InternalError(absl::StrCat("conformance: ", what));
}

}  // namespace

absl::Status CommConformance(Comm& comm) {
  const int world_size = comm.world_size();
  for (const size_t count : {size_t{1}, size_t{3}, size_t{1000}, size_t{300000}}) {
    std::vector<int64_t> expected(count);
    for (int r = 0; r < world_size; ++r) {
      const std::vector<int64_t> values = ValuesOf(r, count);
      for (size_t i = 0; i < count; ++i) expected[i] += values[i];
    }
    std::vector<int64_t> values = ValuesOf(comm.rank(), count);
    RETURN_IF_ERROR(comm.AllReduceSum(absl::MakeSpan(values), "integers"));
    RETURN_IF_ERROR(Expect(values == expected, "all-reduce of int64 is not the exact sum"));
  }
  std::vector<float> floats = {1.5f, static_cast<float>(comm.rank())};
  RETURN_IF_ERROR(comm.AllReduceSum(absl::MakeSpan(floats), "floats"));
  RETURN_IF_ERROR(Expect(floats[0] == 1.5f * world_size && floats[1] == world_size * (world_size - 1) / 2,
                         "all-reduce of float32 is not the sum"));

  std::vector<uint8_t> mine = {static_cast<uint8_t>(comm.rank()), 7}, all(2 * world_size);
  RETURN_IF_ERROR(comm.AllGather(mine, absl::MakeSpan(all), "bytes"));
  for (int r = 0; r < world_size; ++r) {
    RETURN_IF_ERROR(Expect(all[2 * r] == r && all[2 * r + 1] == 7, "all-gather is not in rank order"));
  }
  for (int root = 0; root < world_size; ++root) {
    std::vector<uint8_t> bytes(100, static_cast<uint8_t>(comm.rank() + 1));
    RETURN_IF_ERROR(comm.Broadcast(absl::MakeSpan(bytes), root, "bytes"));
    RETURN_IF_ERROR(Expect(bytes == std::vector<uint8_t>(100, root + 1), "broadcast is not the root's"));
  }
  return comm.Barrier("end");
}

}  // namespace millrace::trainer
