// A gang is cut into parts, one a host. Parts are prepared until nothing is missing anywhere, and only then started;
// each step can be repeated, so that a lost connection in the middle of it is nothing special.
#include "executor/backends/ssh.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/backends/digest_bytes.h"
#include "executor/backends/shared_libraries.h"
#include "executor/cas/file_memo.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Of the stage protocol: outputs are whole, a gate does not hold.
constexpr int kGateFailed = 4;
constexpr int kMaxRounds = 8;
constexpr int64_t kMaxSmallFilesBytes = 64 << 20;
// As the local backend: what can be started at all.
constexpr size_t kMaxCommandBytes = 1 << 20;

// `text`, or the same below `to` if it is `from` or below it.
std::string Translate(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty() || !absl::StartsWith(text, from)) return text;
  const std::string rest = text.substr(from.size());
  return rest.empty() || rest[0] == '/' ? to + rest : text;
}

bool IsBelow(const std::string& path, const std::string& folder) {
  return path == folder || absl::StartsWith(path, folder + "/");
}

// The files of the working folder that are neither inputs, outputs nor what the backend itself writes.
absl::Status AddSmallFiles(const GangSpec& spec, const std::string& relative, int64_t& total_bytes,
                           NodeGangSpec& node_spec) {
  const std::string folder = relative.empty() ? spec.work_folder : JoinPath(spec.work_folder, relative);
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return ErrnoError(errno, "open", folder);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = relative.empty() ? name : absl::StrCat(relative, "/", name);
    const std::string absolute = JoinPath(spec.work_folder, path);
    const bool known =
        std::any_of(spec.inputs.begin(), spec.inputs.end(), [&](const auto& f) { return IsBelow(path, f.path); }) ||
        std::any_of(spec.outputs.begin(), spec.outputs.end(), [&](const auto& f) { return IsBelow(path, f); }) ||
        std::find(spec.log_path.begin(), spec.log_path.end(), absolute) != spec.log_path.end();
    const bool of_backend = relative.empty() && (absl::StartsWith(name, "events.") || absl::StartsWith(name, "gang."));
    struct stat s;
    if (known || of_backend || ::stat(absolute.c_str(), &s) != 0) continue;
    if (S_ISDIR(s.st_mode)) {
      RETURN_IF_ERROR(AddSmallFiles(spec, path, total_bytes, node_spec));
      continue;
    }
    if (!S_ISREG(s.st_mode)) continue;
    total_bytes += s.st_size;
    if (total_bytes > kMaxSmallFilesBytes) {
      return absl::InternalError(absl::StrCat("stage \"", spec.stage, "\": ", absolute,
                                              " is too large to be sent with the gang: it should be an input"));
    }
    ASSIGN_OR_RETURN(std::string content, ReadFile(absolute));
    NodeGangSpec::File& file = *node_spec.add_file();
    file.set_path(path);
    file.set_content(std::move(content));
    file.set_executable((s.st_mode & 0100) != 0);
  }
  return absl::OkStatus();
}

ToAgent About(void (ToAgent::*set)(const std::string&), const std::string& id) {
  ToAgent request;
  (request.*set)(id);
  return request;
}

}  // namespace

// One host's ranks.
struct SshBackend::Part {
  AgentClient* client = nullptr;
  int first_rank = 0;
  int ranks = 0;
  NodeGangSpec node_spec;
  bool started_before = false;
};

// ---- A gang that runs ----

class SshGang : public Gang {
 public:
  SshGang(SshBackend& backend, GangSpec spec, std::vector<SshBackend::Part> parts)
      : backend_(backend), spec_(std::move(spec)), shared_(backend.IsShared(spec_)), log_fds_(spec_.ranks, -1) {
    result_.rank.resize(spec_.ranks);
    for (SshBackend::Part& part : parts) {
      auto stream = std::make_unique<PartStream>();
      stream->gang = this;
      stream->client = part.client;
      stream->first_rank = part.first_rank;
      stream->ranks = part.ranks;
      stream->log_bytes.resize(part.ranks);
      parts_.push_back(std::move(stream));
    }
    // From the beginning: what an earlier executor wrote comes once more.
    for (int rank = 0; rank < spec_.ranks && !shared_; ++rank)
      log_fds_[rank] = ::open(spec_.log_path[rank].c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    for (const auto& part : parts_) part->client->Add(part.get());
  }

  ~SshGang() override {
    for (const auto& part : parts_) part->client->Remove(part.get());
    for (const auto& part : parts_) part->client->Post(About(&ToAgent::set_forget, spec_.id));
    for (const int fd : log_fds_) {
      if (fd >= 0) ::close(fd);
    }
  }

  absl::StatusOr<absl::optional<GangResult>> Wait(absl::Duration wait, const EventSink& sink) override {
    const auto deadline = Clock::now() + absl::ToChronoMicroseconds(wait);
    while (true) {
      std::unique_lock lock(mutex_);
      const auto now = Clock::now();
      // Lost hosts say nothing: look now and then.
      if (news_.empty() && now < deadline)
        has_news_.wait_until(lock, std::min(deadline, now + std::chrono::milliseconds(200)),
                             [this] { return !news_.empty(); });
      std::deque<std::pair<PartStream*, FromAgent>> news;
      news.swap(news_);
      lock.unlock();
      for (const auto& [part, message] : news) RETURN_IF_ERROR(Take(*part, message, sink));
      if (std::all_of(parts_.begin(), parts_.end(), [](const auto& part) { return part->ended; })) return Finish();
      for (const auto& part : parts_) {
        if (part->ended) continue;
        if (const absl::Status lost = part->client->Lost(); !lost.ok()) return IsLost(lost);
      }
      if (Clock::now() >= deadline && news.empty()) return absl::optional<GangResult>();
    }
  }

  void Cancel() override { Stop(1); }
  void Kill() override { Stop(2); }
  int failed_rank() const override { return failed_rank_; }

 private:
  // What one host says of its part.
  struct PartStream : public AgentStream {
    ToAgent Request() override {
      ToAgent request;
      std::lock_guard lock(gang->mutex_);
      Follow& follow = *request.mutable_follow();
      follow.set_gang(gang->spec_.id);
      follow.set_num_events(num_events);
      for (const int64_t bytes : log_bytes) follow.add_log_bytes(bytes);
      follow.set_stop(stop);
      return request;
    }
    void OnReply(const FromAgent& reply) override {
      std::lock_guard lock(gang->mutex_);
      num_events += reply.news().event_size();
      for (const GangNews::Log& log : reply.news().log()) {
        if (log.rank() >= first_rank && log.rank() < first_rank + ranks)
          log_bytes[log.rank() - first_rank] += static_cast<int64_t>(log.text().size());
      }
      gang->news_.emplace_back(this, reply);
      gang->has_news_.notify_all();
    }

    SshGang* gang = nullptr;
    AgentClient* client = nullptr;
    int first_rank = 0;
    int ranks = 0;
    // Under the gang's mutex: how far this is.
    int64_t num_events = 0;
    std::vector<int64_t> log_bytes;
    int stop = 0;  // 1: cancel, 2: kill; said again on the next connection
    // Of the thread that waits.
    bool ended = false;
    GangResult::Outcome outcome = GangResult::Outcome::kEnded;
  };

  static absl::Status IsLost(const absl::Status& cause) {
    return absl::UnavailableError(absl::StrCat("the gang is lost: ", cause.message()));
  }

  void Stop(int how) {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    for (const auto& part : parts_) StopPart(*part, how);
  }

  void StopPart(PartStream& part, int how) {
    {
      std::lock_guard lock(mutex_);
      part.stop = std::max(part.stop, how);
    }
    ToAgent request;
    how == 1 ? request.set_cancel(spec_.id) : request.set_kill(spec_.id);
    part.client->Post(std::move(request));
  }

  // The others cannot go on without it.
  void RankFailed(int rank, PartStream& of) {
    if (failed_rank_ < 0) failed_rank_ = rank;
    for (const auto& part : parts_) {
      if (part.get() != &of && !part->ended) StopPart(*part, 1);
    }
  }

  absl::Status Take(PartStream& part, const FromAgent& message, const EventSink& sink) {
    if (message.has_failure()) {
      return absl::UnavailableError(
          absl::StrCat("the gang is lost: host \"", part.client->host().name, "\": ", message.failure().message(),
                       "\n  why: its agent has ended, and the gang with it, or nobody asked for "
                       "it within its time to live\n  fix: run again"));
    }
    const GangNews& news = message.news();
    for (const GangNews::Log& log : news.log()) RETURN_IF_ERROR(AppendLog(log));
    for (const GangNews::Event& event : news.event()) {
      if (event.event().has_checkpoint_published() && !shared_) {
        RETURN_IF_ERROR(TakePublished(part, event, sink));
      } else {
        sink(event.rank(), event.event());
      }
    }
    if (news.has_failed_rank()) RankFailed(news.failed_rank(), part);
    if (news.has_end()) TakeEnd(part, news.end());
    return absl::OkStatus();
  }

  absl::Status AppendLog(const GangNews::Log& log) {
    if (log.rank() < 0 || log.rank() >= spec_.ranks) return absl::OkStatus();
    int& fd = log_fds_[log.rank()];
    const std::string& path = spec_.log_path[log.rank()];
    if (fd < 0) fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return ErrnoError(errno, "open", path);
    for (absl::string_view text = log.text(); !text.empty();) {
      const ssize_t n = ::write(fd, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return ErrnoError(errno, "write", path);
      text.remove_prefix(n);
    }
    return absl::OkStatus();
  }

  // NotFound: the node has no such folder (any more).
  absl::StatusOr<Tree> Publish(PartStream& part, const std::string& path) {
    ToAgent request;
    request.mutable_publish()->set_gang(spec_.id);
    request.mutable_publish()->set_path(path);
    ASSIGN_OR_RETURN(const FromAgent reply, part.client->Call(request));
    return Tree::Parse(reply.published());
  }

  absl::Status TakePublished(PartStream& part, const GangNews::Event& event, const EventSink& sink) {
    const std::string& path = event.event().checkpoint_published().path();
    // Somewhere else: not to be touched here; who gets the event says what is wrong.
    if (!absl::StartsWith(path, "out/") || absl::StrContains(path, "..")) {
      sink(event.rank(), event.event());
      return absl::OkStatus();
    }
    const absl::StatusOr<Tree> tree = Publish(part, path);
    // One that was taken before the executor started again is passed on as news all the same.
    if (!tree.ok() && !absl::IsNotFound(tree.status())) return tree.status();
    if (tree.ok()) {
      const std::string folder = JoinPath(spec_.work_folder, path);
      RETURN_IF_ERROR(RemoveTree(folder));
      RETURN_IF_ERROR(FetchTree(*part.client, *tree, folder, backend_.options_.cas));
    }
    sink(event.rank(), event.event());
    ToAgent release;
    release.mutable_release()->set_gang(spec_.id);
    release.mutable_release()->set_path(path);
    // Waits for it: an output that it lies in may be asked for next.
    return part.client->Call(release).status();
  }

  void TakeEnd(PartStream& part, const GangNews::End& end) {
    part.ended = true;
    part.outcome = static_cast<GangResult::Outcome>(end.outcome());
    for (int i = 0; i < end.rank_size() && i < part.ranks; ++i) {
      RankResult& rank = result_.rank[part.first_rank + i];
      rank.exit_status = end.rank(i).exit_status();
      rank.signal = end.rank(i).signal();
      rank.peak_memory_bytes = end.rank(i).peak_memory_bytes();
      rank.cpu_seconds = end.rank(i).cpu_seconds();
    }
    result_.seconds = std::max(result_.seconds, end.seconds());
    if (!end.message().empty() && result_.message.empty()) {
      result_.message =
          parts_.size() > 1 ? absl::StrCat("host \"", part.client->host().name, "\": ", end.message()) : end.message();
    }
    if (end.first_failed_rank() >= 0 || part.outcome != GangResult::Outcome::kEnded)
      RankFailed(end.first_failed_rank(), part);
  }

  absl::StatusOr<absl::optional<GangResult>> Finish() {
    using Outcome = GangResult::Outcome;
    const auto any = [&](Outcome outcome) {
      return std::any_of(parts_.begin(), parts_.end(), [&](const auto& part) { return part->outcome == outcome; });
    };
    bool stopped;
    {
      std::lock_guard lock(mutex_);
      stopped = stopped_;
    }
    // A part that was ended because of another's failure is no cancelled gang.
    result_.outcome = any(Outcome::kNotStarted)             ? Outcome::kNotStarted
                      : any(Outcome::kTimedOut)             ? Outcome::kTimedOut
                      : stopped && any(Outcome::kCancelled) ? Outcome::kCancelled
                                                            : Outcome::kEnded;
    result_.first_failed_rank = failed_rank_;
    const bool useful = result_.outcome == Outcome::kEnded &&
                        (failed_rank_ < 0 || result_.rank[failed_rank_].exit_status == kGateFailed);
    if (useful && !shared_) {
      for (const std::string& output : spec_.outputs) RETURN_IF_ERROR(FetchOutput(output));
    }
    return absl::optional<GangResult>(result_);
  }

  absl::Status FetchOutput(const std::string& output) {
    const std::string folder = JoinPath(spec_.work_folder, output);
    // What an earlier executor did not fetch to the end.
    RETURN_IF_ERROR(RemoveTree(folder));
    std::map<std::string, std::pair<Digest, PartStream*>> seen;
    for (const auto& part : parts_) {
      absl::StatusOr<Tree> tree = Publish(*part, output);
      if (absl::IsNotFound(tree.status())) continue;
      RETURN_IF_ERROR(tree.status());
      std::vector<TreeFile> fresh;
      for (TreeFile& file : tree->files) {
        const auto [there, is_new] = seen.try_emplace(file.path, file.digest, part.get());
        if (!is_new && there->second.first != file.digest) {
          return absl::FailedPreconditionError(
              absl::StrCat("hosts \"", there->second.second->client->host().name, "\" and \"",
                           part->client->host().name, "\" made different files ", output, "/", file.path,
                           "\n  why: a gang on several hosts has no folder in common there\n"
                           "  fix: let one rank write it, or name a shared_path in the cluster file"));
        }
        if (is_new) fresh.push_back(std::move(file));
      }
      tree->files = std::move(fresh);
      RETURN_IF_ERROR(FetchTree(*part->client, *tree, folder, backend_.options_.cas));
    }
    return absl::OkStatus();
  }

  SshBackend& backend_;
  const GangSpec spec_;
  const bool shared_;
  std::vector<std::unique_ptr<PartStream>> parts_;
  std::vector<int> log_fds_;
  GangResult result_;
  int failed_rank_ = -1;

  std::mutex mutex_;
  std::condition_variable has_news_;
  std::deque<std::pair<PartStream*, FromAgent>> news_;
  bool stopped_ = false;
};

// ---- The backend ----

absl::StatusOr<std::unique_ptr<SshBackend>> SshBackend::Make(SshBackendOptions options) {
  std::unique_ptr<SshBackend> backend(new SshBackend(std::move(options)));
  ASSIGN_OR_RETURN(backend->agent_, AgentProgram::Load(backend->options_.agent_path));
  return backend;
}

AgentClient& SshBackend::ClientOf(const std::string& host) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<AgentClient>& client = clients_[host];
  if (client == nullptr) {
    SshHost to = {host, "", 0};
    for (const SshHost& known : options_.hosts) {
      if (known.name == host) to = known;
    }
    client = std::make_unique<AgentClient>(options_.client, to, agent_);
  }
  return *client;
}

bool SshBackend::IsShared(const GangSpec& spec) const {
  return !options_.shared_path.empty() && IsBelow(spec.work_folder, options_.shared_path);
}

absl::StatusOr<std::vector<SshBackend::Part>> SshBackend::Divide(const GangSpec& spec) {
  if (static_cast<int>(spec.hosts.size()) != spec.ranks || spec.ranks < 1) {
    return absl::InternalError(
        absl::StrCat("stage \"", spec.stage, "\": ", spec.ranks, " ranks, ", spec.hosts.size(), " hosts"));
  }
  std::vector<Part> parts;
  std::set<std::string> seen;
  for (int rank = 0; rank < spec.ranks; ++rank) {
    if (rank > 0 && spec.hosts[rank] == spec.hosts[rank - 1]) {
      ++parts.back().ranks;
      continue;
    }
    if (!seen.insert(spec.hosts[rank]).second)
      return absl::InternalError(absl::StrCat("host \"", spec.hosts[rank], "\" has ranks in two places"));
    Part& part = parts.emplace_back();
    part.client = &ClientOf(spec.hosts[rank]);
    part.first_rank = rank;
    part.ranks = 1;
  }
  return parts;
}

absl::StatusOr<const SshBackend::Libraries*> SshBackend::LibrariesOf(const GangSpec& spec) {
  std::lock_guard lock(mutex_);
  const auto key = std::pair(spec.argument[0], spec.tool->path);
  if (const auto found = libraries_.find(key); found != libraries_.end()) return &found->second;
  ASSIGN_OR_RETURN(const std::vector<SharedLibrary> names, SharedLibrariesOf(spec.argument[0], spec.tool->path));
  Libraries libraries;
  for (const SharedLibrary& library : names) {
    ASSIGN_OR_RETURN(const HashedFile hashed, HashFile(library.path));
    libraries.tree.files.push_back({library.name, hashed.digest, hashed.stamp.size_bytes, false});
    libraries.sources.Add(hashed.digest, {library.path, "", hashed.stamp.size_bytes});
  }
  libraries.digest = Digest::Of(libraries.tree.Canonical());
  return &(libraries_[key] = std::move(libraries));
}

absl::Status SshBackend::PrepareAll(const GangSpec& spec, std::vector<Part>& parts) {
  const bool shared = IsShared(spec);
  NodeGangSpec common;
  BlobSources sources;
  std::string libraries_hex;
  if (!shared) {
    int64_t total_bytes = 0;
    RETURN_IF_ERROR(AddSmallFiles(spec, "", total_bytes, common));
    for (const StagedFolder& input : spec.inputs) {
      sources.AddTree(input.tree, JoinPath(spec.work_folder, input.path));
      NodeGangSpec::Input& added = *common.add_input();
      added.set_path(input.path);
      added.set_tree(BytesOf(Digest::Of(input.tree.Canonical())));
      added.set_may_link(input.may_link);
    }
    for (const std::string& output : spec.outputs) common.add_output(output);
    if (spec.tool.has_value()) {
      sources.AddTree(spec.tool->tree, spec.tool->path);
      common.add_program_tree(BytesOf(Digest::Of(spec.tool->tree.Canonical())));
      ASSIGN_OR_RETURN(const Libraries* libraries, LibrariesOf(spec));
      if (!libraries->tree.files.empty()) {
        libraries_hex = libraries->digest.Hex();
        common.add_program_tree(BytesOf(libraries->digest));
        for (const TreeFile& file : libraries->tree.files)
          sources.Add(file.digest, *libraries->sources.Find(file.digest));
        std::string text = libraries->tree.Canonical();
        const auto size_bytes = static_cast<int64_t>(text.size());
        sources.Add(libraries->digest, {"", std::move(text), size_bytes});
      }
    }
  }
  common.set_id(spec.id);
  common.set_stage(spec.stage);
  *common.mutable_gang() = spec.gang;
  common.set_torchrun_variables(spec.torchrun_variables);
  if (spec.time_limit != absl::InfiniteDuration())
    common.set_time_limit_seconds(absl::ToDoubleSeconds(spec.time_limit));
  common.set_grace_seconds(absl::ToDoubleSeconds(spec.grace));
  common.set_memory_bytes(spec.memory_bytes);
  common.set_world_size(spec.ranks);
  const SshHost& first_host = parts.front().client->host();
  common.set_master_address(parts.size() == 1                  ? "127.0.0.1"
                            : !options_.master_address.empty() ? options_.master_address
                            : !first_host.address.empty()      ? first_host.address
                                                               : first_host.name);
  common.set_master_port(options_.master_port);
  if (spec.torchrun_variables && options_.master_port == 0) {
    ToAgent request;
    request.set_free_port(true);
    ASSIGN_OR_RETURN(const FromAgent reply, parts.front().client->Call(request));
    common.set_master_port(reply.port());
  }

  std::vector<absl::Status> status(parts.size());
  ParallelFor(static_cast<int>(parts.size()), static_cast<int64_t>(parts.size()), [&](int64_t i) {
    Part& part = parts[i];
    const absl::StatusOr<std::string> folder = part.client->Folder();
    if (!folder.ok()) {
      status[i] = folder.status();
      return;
    }
    NodeGangSpec& node_spec = part.node_spec;
    node_spec = common;
    node_spec.set_ranks(part.ranks);
    node_spec.set_first_rank(part.first_rank);
    node_spec.set_node_rank(static_cast<int>(i));
    std::string work_folder = spec.work_folder, tool_from, tool_to;
    if (shared) {
      node_spec.set_shared_work_folder(spec.work_folder);
      for (int r = 0; r < part.ranks; ++r) node_spec.add_shared_log_path(spec.log_path[part.first_rank + r]);
    } else {
      work_folder = absl::StrCat(*folder, "/gangs/", spec.id, "/work");
      if (spec.tool.has_value()) {
        tool_from = spec.tool->path;
        tool_to = absl::StrCat(*folder, "/tools/", Digest::Of(spec.tool->tree.Canonical()).Hex());
      }
    }
    const auto there = [&](const std::string& text) {
      return Translate(Translate(text, spec.work_folder, work_folder), tool_from, tool_to);
    };
    for (const std::string& argument : spec.argument) node_spec.add_argument(there(argument));
    bool has_library_path = false;
    const std::string library_folder = libraries_hex.empty() ? "" : absl::StrCat(*folder, "/tools/", libraries_hex);
    for (const std::string& variable : spec.environment) {
      const size_t equals = variable.find('=');
      std::string name = variable.substr(0, equals),
                  value = equals == std::string::npos ? "" : variable.substr(equals + 1);
      value = there(value);
      if (name == "LD_LIBRARY_PATH" && !library_folder.empty()) {
        absl::StrAppend(&value, value.empty() ? "" : ":", library_folder);
        has_library_path = true;
      }
      node_spec.add_environment(absl::StrCat(name, "=", value));
    }
    if (!library_folder.empty() && !has_library_path)
      node_spec.add_environment(absl::StrCat("LD_LIBRARY_PATH=", library_folder));
    status[i] = Prepare(part, sources);
  });
  for (const absl::Status& s : status) RETURN_IF_ERROR(s);
  return absl::OkStatus();
}

absl::Status SshBackend::Prepare(Part& part, const BlobSources& sources) {
  ToAgent request;
  *request.mutable_prepare() = part.node_spec;
  // The first time without waiting for others: most often nothing is missing.
  std::unique_lock<std::mutex> bulk;
  for (int round = 0; round < kMaxRounds;) {
    ASSIGN_OR_RETURN(const FromAgent reply, part.client->Call(request));
    part.started_before = reply.prepared().state() == Prepared::STARTED;
    if (reply.prepared().state() != Prepared::MISSING) return absl::OkStatus();
    if (!bulk.owns_lock()) {
      // Whoever sends may be sending what is missing here, too.
      bulk = std::unique_lock(part.client->bulk_mutex());
      continue;
    }
    const absl::Status sent = SendBlobs(*part.client, reply.prepared(), sources);
    // A connection that was lost costs no round: the next Call() waits for it.
    if (absl::IsAborted(sent)) continue;
    RETURN_IF_ERROR(sent);
    ++round;
  }
  return absl::InternalError(
      absl::StrCat("host \"", part.client->host().name, "\": its agent asks for the same again and again"));
}

absl::StatusOr<std::unique_ptr<Gang>> SshBackend::Submit(const GangSpec& spec) {
  size_t command_bytes = 0;
  for (const std::string& text : spec.argument) command_bytes += text.size();
  for (const std::string& text : spec.environment) command_bytes += text.size();
  if (command_bytes > kMaxCommandBytes) {
    return absl::InvalidArgumentError(absl::StrCat("stage \"", spec.stage, "\": its command and parameters are ",
                                                   command_bytes,
                                                   " bytes, more than a process can be started with\n"
                                                   "  fix: put the long ones into a file and make it an input"));
  }
  ASSIGN_OR_RETURN(std::vector<Part> parts, Divide(spec));
  absl::Status status = PrepareAll(spec, parts);
  for (const Part& part : parts) {
    if (!status.ok()) break;
    if (!part.started_before) status = part.client->Call(About(&ToAgent::set_start, spec.id)).status();
  }
  if (!status.ok()) {
    for (const Part& part : parts) part.client->Post(About(&ToAgent::set_forget, spec.id));
    return status;
  }
  return std::make_unique<SshGang>(*this, spec, std::move(parts));
}

absl::StatusOr<std::unique_ptr<Gang>> SshBackend::Adopt(const GangSpec& spec) {
  ASSIGN_OR_RETURN(std::vector<Part> parts, Divide(spec));
  bool all_started = true;
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(const FromAgent reply, part.client->Call(About(&ToAgent::set_find, spec.id)));
    all_started &= reply.prepared().state() == Prepared::STARTED;
  }
  if (all_started) return std::make_unique<SshGang>(*this, spec, std::move(parts));
  // The executor was killed while it started them: what there is is of no use.
  for (const Part& part : parts) {
    RETURN_IF_ERROR(part.client->Call(About(&ToAgent::set_forget, spec.id)).status());
  }
  return nullptr;
}

}  // namespace millrace
