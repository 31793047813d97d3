#include "executor/agent/node_gang.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/backends/digest_bytes.h"
#include "executor/backends/frame.h"

namespace millrace {
namespace {

constexpr absl::Duration kWait = absl::Milliseconds(200);
constexpr size_t kNewsBytes = 1 << 20;
constexpr absl::string_view kLoader = "/lib64/ld-linux-x86-64.so.2";

// A path that stays below the folder it is joined to.
absl::Status CheckBelow(const std::string& path) {
  const std::string framed = absl::StrCat("/", path, "/");
  if (path.empty() || absl::StartsWith(path, "/") || absl::StrContains(framed, "/../"))
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is not a path below a working folder"));
  return absl::OkStatus();
}

absl::Status IsGone() { return absl::UnavailableError("the gang has been forgotten"); }

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Up to `max_bytes` from `offset` on.
std::string ReadFrom(const std::string& path, int64_t offset, size_t max_bytes) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  text.resize(max_bytes);
  const ssize_t n = ::pread(fd, text.data(), text.size(), offset);
  ::close(fd);
  text.resize(std::max<ssize_t>(0, n));
  return text;
}

}  // namespace

NodeGang::NodeGang(NodeGangSpec spec, std::string folder, NodeStore& store, Backend& backend,
                   std::function<void()> on_news)
    : spec_(std::move(spec)),
      folder_(std::move(folder)),
      work_folder_(spec_.has_shared_work_folder() ? spec_.shared_work_folder() : folder_ + "/work"),
      store_(store),
      backend_(backend),
      on_news_(std::move(on_news)),
      touched_(std::chrono::steady_clock::now()) {}

NodeGang::~NodeGang() { Remove(); }

void NodeGang::Remove() {
  std::lock_guard prepare_lock(prepare_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(removed_, true)) return;
    if (gang_ != nullptr) gang_->Kill();
  }
  if (watcher_.joinable()) watcher_.join();
  std::lock_guard publish_lock(publish_mutex_);
  for (const auto& [path, published] : published_) store_.Unpin(published);
  RemoveTree(folder_).IgnoreError();
}

absl::StatusOr<std::vector<MissingBlob>> NodeGang::Prepare() {
  std::lock_guard prepare_lock(prepare_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (removed_) return IsGone();
    if (prepared_) return std::vector<MissingBlob>();
  }
  std::vector<MissingBlob> missing;
  for (const NodeGangSpec::Input& input : spec_.input()) {
    ASSIGN_OR_RETURN(const Digest tree, DigestFromBytes(input.tree()));
    for (const MissingBlob& blob : store_.Missing(tree)) missing.push_back(blob);
  }
  for (const std::string& program : spec_.program_tree()) {
    ASSIGN_OR_RETURN(const Digest tree, DigestFromBytes(program));
    if (store_.HasTool(tree)) continue;
    for (const MissingBlob& blob : store_.Missing(tree)) missing.push_back(blob);
  }
  if (!missing.empty()) return missing;
  const absl::Status laid_out = LayOut();
  if (!laid_out.ok()) {
    RemoveTree(folder_).IgnoreError();
    return laid_out;
  }
  std::lock_guard lock(mutex_);
  prepared_ = true;
  return missing;
}

absl::Status NodeGang::LayOut() {
  for (const std::string& program : spec_.program_tree()) {
    ASSIGN_OR_RETURN(const Digest tree, DigestFromBytes(program));
    RETURN_IF_ERROR(store_.Tool(tree).status());
  }
  if (spec_.has_shared_work_folder()) return absl::OkStatus();
  RETURN_IF_ERROR(RemoveTree(folder_));
  RETURN_IF_ERROR(CreateDirectories(work_folder_));
  for (const NodeGangSpec::File& file : spec_.file()) {
    RETURN_IF_ERROR(CheckBelow(file.path()));
    const std::string path = JoinPath(work_folder_, file.path());
    RETURN_IF_ERROR(CreateDirectories(ParentOf(path)));
    RETURN_IF_ERROR(WriteFile(path, file.content()));
    if (file.executable()) ::chmod(path.c_str(), 0755);
  }
  for (const NodeGangSpec::Input& input : spec_.input()) {
    RETURN_IF_ERROR(CheckBelow(input.path()));
    ASSIGN_OR_RETURN(const Digest tree, DigestFromBytes(input.tree()));
    const std::string path = JoinPath(work_folder_, input.path());
    RETURN_IF_ERROR(CreateDirectories(ParentOf(path)));
    RETURN_IF_ERROR(store_.LayOut(tree, path, input.may_link() ? MaterializeMode::kHardLink : MaterializeMode::kCopy));
  }
  for (const std::string& output : spec_.output()) {
    RETURN_IF_ERROR(CheckBelow(output));
    RETURN_IF_ERROR(CreateDirectories(JoinPath(work_folder_, output)));
  }
  return absl::OkStatus();
}

GangSpec NodeGang::LocalSpec() const {
  GangSpec spec;
  spec.stage = spec_.stage();
  spec.id = spec_.id();
  spec.work_folder = work_folder_;
  spec.argument.assign(spec_.argument().begin(), spec_.argument().end());
  spec.environment.assign(spec_.environment().begin(), spec_.environment().end());
  spec.ranks = spec_.ranks();
  spec.gang = spec_.gang();
  spec.torchrun_variables = spec_.torchrun_variables();
  for (int i = 0; i < spec_.ranks(); ++i) {
    spec.log_path.push_back(spec_.shared_log_path_size() > i ? spec_.shared_log_path(i)
                                                             : absl::StrCat(folder_, "/log.", spec_.first_rank() + i));
  }
  if (spec_.has_time_limit_seconds()) spec.time_limit = absl::Seconds(spec_.time_limit_seconds());
  spec.grace = absl::Seconds(spec_.grace_seconds());
  spec.memory_bytes = spec_.memory_bytes();
  spec.share =
      GangShare{spec_.first_rank(), spec_.world_size(), spec_.node_rank(), spec_.master_address(), spec_.master_port()};
  return spec;
}

absl::Status NodeGang::Start() {
  std::lock_guard lock(mutex_);
  if (removed_) return IsGone();
  if (started_) return absl::OkStatus();
  if (!prepared_) return absl::FailedPreconditionError(absl::StrCat("gang ", spec_.id(), " is not prepared"));
  ASSIGN_OR_RETURN(std::unique_ptr<Gang> gang, backend_.Submit(LocalSpec()));
  gang_ = std::move(gang);
  started_ = true;
  if (stop_ > 0) stop_ > 1 ? gang_->Kill() : gang_->Cancel();
  watcher_ = std::thread([this] { Watch(); });
  return absl::OkStatus();
}

void NodeGang::Watch() {
  const int first_rank = spec_.first_rank();
  const auto sink = [&](int rank, const StageEvent& event) {
    std::lock_guard lock(mutex_);
    GangNews::Event& added = events_.emplace_back();
    added.set_rank(first_rank + rank);
    *added.mutable_event() = event;
  };
  size_t num_told = 0;
  while (true) {
    const absl::StatusOr<absl::optional<GangResult>> result = gang_->Wait(kWait, sink);
    GangNews::End end;
    if (result.ok() && !result->has_value()) {
      bool has_news = false;
      {
        std::lock_guard lock(mutex_);
        if (gang_->failed_rank() >= 0 && failed_rank_ < 0) {
          failed_rank_ = first_rank + gang_->failed_rank();
          has_news = true;
        }
        has_news |= std::exchange(num_told, events_.size()) != events_.size();
      }
      if (has_news) on_news_();
      continue;
    }
    if (!result.ok()) {
      end.set_outcome(static_cast<int>(GangResult::Outcome::kNotStarted));
      end.set_message(std::string(result.status().message()));
      return End(std::move(end));
    }
    const GangResult& ended = **result;
    end.set_outcome(static_cast<int>(ended.outcome));
    end.set_message(ended.message);
    // The kernel says "No such file" of the loader, too.
    if (ended.outcome == GangResult::Outcome::kNotStarted && FileExists(spec_.argument(0)) &&
        !FileExists(std::string(kLoader))) {
      end.set_message(absl::StrCat(ended.message, "\n  why: there is no ", kLoader,
                                   " on this host\n  fix: install glibc, or run this stage on other hosts"));
    }
    end.set_first_failed_rank(ended.first_failed_rank < 0 ? -1 : first_rank + ended.first_failed_rank);
    end.set_seconds(ended.seconds);
    for (const RankResult& rank : ended.rank) {
      GangNews::End::Rank* to = end.add_rank();
      to->set_exit_status(rank.exit_status);
      to->set_signal(rank.signal);
      to->set_peak_memory_bytes(rank.peak_memory_bytes);
      to->set_cpu_seconds(rank.cpu_seconds);
    }
    return End(std::move(end));
  }
}

void NodeGang::End(GangNews::End end) {
  {
    std::lock_guard lock(mutex_);
    end_ = std::make_unique<GangNews::End>(std::move(end));
    gang_.reset();
  }
  on_news_();
}

bool NodeGang::started() const {
  std::lock_guard lock(mutex_);
  return started_;
}

bool NodeGang::ended() const {
  std::lock_guard lock(mutex_);
  return end_ != nullptr;
}

void NodeGang::Cancel() {
  std::lock_guard lock(mutex_);
  stop_ = std::max(stop_, 1);
  if (gang_ != nullptr) gang_->Cancel();
}

void NodeGang::Kill() {
  std::lock_guard lock(mutex_);
  stop_ = 2;
  if (gang_ != nullptr) gang_->Kill();
}

GangNews NodeGang::NewsSince(Follow& follow) {
  GangNews news;
  bool all = true;
  std::lock_guard lock(mutex_);
  size_t size_bytes = 0;
  while (follow.num_events() < static_cast<int64_t>(events_.size()) && size_bytes < kNewsBytes) {
    *news.add_event() = events_[follow.num_events()];
    size_bytes += news.event().rbegin()->ByteSizeLong();
    follow.set_num_events(follow.num_events() + 1);
  }
  all &= follow.num_events() == static_cast<int64_t>(events_.size());
  for (int i = 0; i < spec_.ranks() && spec_.shared_log_path_size() == 0; ++i) {
    while (follow.log_bytes_size() <= i) follow.add_log_bytes(0);
    const int rank = spec_.first_rank() + i;
    std::string text = ReadFrom(absl::StrCat(folder_, "/log.", rank), follow.log_bytes(i), kBlobPieceBytes);
    if (text.empty()) continue;
    all &= text.size() < kBlobPieceBytes;
    follow.set_log_bytes(i, follow.log_bytes(i) + static_cast<int64_t>(text.size()));
    GangNews::Log* log = news.add_log();
    log->set_rank(rank);
    log->set_text(std::move(text));
  }
  if (failed_rank_ >= 0 && end_ == nullptr && !follow.told_failure()) {
    news.set_failed_rank(failed_rank_);
    follow.set_told_failure(true);
  }
  if (end_ != nullptr && all) *news.mutable_end() = *end_;
  return news;
}

absl::StatusOr<PublishedTree> NodeGang::Publish(const std::string& path) {
  RETURN_IF_ERROR(CheckBelow(path));
  std::lock_guard lock(publish_mutex_);
  {
    std::lock_guard state_lock(mutex_);
    if (removed_) return IsGone();
  }
  if (const auto found = published_.find(path); found != published_.end()) return found->second;
  ASSIGN_OR_RETURN(PublishedTree published, store_.Publish(JoinPath(work_folder_, path)));
  return published_[path] = std::move(published);
}

absl::Status NodeGang::Release(const std::string& path) {
  RETURN_IF_ERROR(CheckBelow(path));
  std::lock_guard lock(publish_mutex_);
  if (const auto found = published_.find(path); found != published_.end()) {
    store_.Unpin(found->second);
    published_.erase(found);
  }
  return RemoveTree(JoinPath(work_folder_, path));
}

void NodeGang::Touch() {
  std::lock_guard lock(mutex_);
  touched_ = std::chrono::steady_clock::now();
}

absl::Duration NodeGang::SinceTouched() const {
  std::lock_guard lock(mutex_);
  return absl::FromChrono(std::chrono::steady_clock::now() - touched_);
}

void NodeGang::TouchTools() {
  for (const std::string& program : spec_.program_tree()) {
    if (const absl::StatusOr<Digest> tree = DigestFromBytes(program); tree.ok()) store_.TouchTool(*tree);
  }
}

}  // namespace millrace
