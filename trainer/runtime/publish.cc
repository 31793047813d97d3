#include "trainer/runtime/publish.h"

#include <dirent.h>

#include <random>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace::trainer {
namespace {

constexpr int kMaxPublished = 2;

int CountPublished(const std::string& folder) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return 0;
  int count = 0;
  while (const dirent* entry = ::readdir(dir)) count += absl::StartsWith(entry->d_name, "step-");
  ::closedir(dir);
  return count;
}

}  // namespace

CheckpointPublisher::CheckpointPublisher(const TrainState& state, Comm& comm, PublishOptions options)
    : state_(state), comm_(comm), options_(std::move(options)) {}

absl::Status CheckpointPublisher::WaitForRoom() {
  while (true) {
    // [room on rank 0, asked to stop]. Each round is short, so that no collective's timeout runs while the gang waits.
    std::vector<int64_t> news(2);
    if (comm_.rank() == 0) {
      const absl::Time until = absl::Now() + absl::Seconds(1);
      while (CountPublished(options_.folder) >= kMaxPublished && !options_.interrupted() && absl::Now() < until)
        absl::SleepFor(absl::Milliseconds(10));
      news[0] = CountPublished(options_.folder) < kMaxPublished;
    }
    news[1] = options_.interrupted();
    RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(news), "room for a checkpoint"));
    if (news[0] != 0 || news[1] != 0) return absl::OkStatus();
  }
}

absl::Status CheckpointPublisher::Agree(const absl::Status& mine, absl::string_view what) {
  std::vector<int64_t> failed(comm_.world_size());
  failed[comm_.rank()] = !mine.ok();
  const absl::Status reduced = comm_.AllReduceSum(absl::MakeSpan(failed), what);
  if (!mine.ok()) return mine;
  RETURN_IF_ERROR(reduced);
  for (size_t rank = 0; rank < failed.size(); ++rank) {
    if (failed[rank] != 0) return absl::UnavailableError(absl::StrCat(what, ": rank ", rank, " failed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CheckpointPublisher::AllSee(const std::string& partial) {
  // A name that no earlier attempt can have left behind.
  uint64_t token = std::random_device()();
  RETURN_IF_ERROR(comm_.Broadcast(absl::MakeSpan(reinterpret_cast<uint8_t*>(&token), sizeof(token)), 0, "a token"));
  const std::string path = JoinPath(partial, absl::StrCat("token-", token));
  absl::Status created;
  if (comm_.rank() == 0) {
    created = RemoveTree(partial);
    if (created.ok()) created = CreateDirectories(partial);
    if (created.ok()) created = WriteFile(path, "");
  }
  RETURN_IF_ERROR(Agree(created, "creating the checkpoint"));
  std::vector<int64_t> seen = {FileExists(path)};
  RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(seen), "who sees the checkpoint's folder"));
  if (comm_.rank() == 0) RETURN_IF_ERROR(RemoveTree(path));
  return seen[0] == comm_.world_size();
}

absl::Status CheckpointPublisher::Publish(int64_t step) {
  RETURN_IF_ERROR(WaitForRoom());
  ASSIGN_OR_RETURN(const CheckpointIndex index, state_.NewIndex(step, options_.model_json, options_.range_bytes));
  const std::string name = CheckpointName(step);
  const std::string partial = JoinPath(options_.folder, absl::StrCat("partial-", name));
  ASSIGN_OR_RETURN(const bool all_see, AllSee(partial));
  absl::Status written;
  for (int64_t range = 0; range < index.num_ranges() && written.ok(); ++range) {
    const int owner = all_see ? static_cast<int>(range % comm_.world_size()) : 0;
    if (owner == comm_.rank()) written = state_.WriteRange(partial, index, range);
  }
  if (written.ok() && comm_.rank() == 0) written = WriteIndex(partial, index);
  RETURN_IF_ERROR(Annotate(Agree(written, "writing the checkpoint"), absl::StrCat("checkpoint of step ", step)));
  if (comm_.rank() == 0) {
    const std::string path = JoinPath(options_.folder, name);
    RETURN_IF_ERROR(RemoveTree(path));
    RETURN_IF_ERROR(RenameFile(partial, path));
    if (options_.announce) RETURN_IF_ERROR(options_.announce(path, step));
  }
  last_step_ = step;
  return absl::OkStatus();
}

}  // namespace millrace::trainer
