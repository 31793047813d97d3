#include "trainer/comm/comm.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace millrace::trainer {

absl::Status AnnotateCollective(const absl::Status& status, const Comm& comm, absl::string_view collective,
                                absl::string_view what) {
  return Annotate(status, absl::StrCat("rank ", comm.rank(), " of ", comm.world_size(), ": ", collective,
                                       what.empty() ? "" : " of ", what));
}

void Comm::Free::operator()(void* memory) const { std::free(memory); }

absl::StatusOr<void*> Comm::Allocate(int64_t size_bytes) {
  const size_t rounded = std::max<size_t>(64, (size_bytes + 63) / 64 * 64);
  void* memory = std::aligned_alloc(64, rounded);
  if (memory == nullptr) return absl::ResourceExhaustedError(absl::StrCat("no memory for ", size_bytes, " bytes"));
  allocated_.emplace_back(memory);
  return memory;
}

absl::Status SingleComm::AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view) {
  MILLRACE_CHECK(mine.size() == all.size());
  std::copy(mine.begin(), mine.end(), all.begin());
  return absl::OkStatus();
}

}  // namespace millrace::trainer
