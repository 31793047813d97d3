#include "executor/backends/slurm_clerk.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "executor/backends/slurm_node_files.h"

namespace millrace {
namespace {

using Phase = SlurmRecord::Phase;
using Wish = SlurmRecord::Wish;

// States are asked for every kTick, and ever less often: a run of T seconds has about 20 ln(T/40) + 20 ticks.
constexpr absl::Duration kTick = absl::Seconds(2), kLongestTick = absl::Seconds(30);
constexpr int kTicksOfBusyTime = 20;
// How long what is submitted is gathered; likewise longer, the longer there is work.
constexpr absl::Duration kGather = absl::Milliseconds(100), kLongestGather = absl::Seconds(5);
constexpr int kGathersOfBusyTime = 40;
constexpr absl::Duration kPause = absl::Seconds(2), kLongestPause = absl::Minutes(1);
constexpr absl::Duration kWarnAfter = absl::Seconds(20);
constexpr absl::Duration kNodeHelps = absl::Seconds(5);  // with what it is told
constexpr absl::Duration kMaxVerdictWait = absl::Seconds(60);
constexpr absl::Duration kTurn = absl::Milliseconds(50);
constexpr absl::Duration kOldFolder = absl::Hours(24);
constexpr int kMaxAvoided = 20;
constexpr int kRefusalsOfAFullQueue = 3;
constexpr char kBatchFile[] = "slurm.batch";  // in the working folder: the batch's name, the index, the gang's id

std::string Random() {
  static std::random_device device;
  return absl::StrFormat("%08x", static_cast<uint32_t>(device()));
}

bool MayBeAName(absl::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
                              absl::string_view::npos;
}

// The line of `lines` that speaks of this task; null: none.
const SlurmJobLine* LineOf(const SlurmRecord& record, const std::multimap<std::string, const SlurmJobLine*>& lines) {
  const auto [begin, end] = lines.equal_range(record.batch->job);
  const SlurmJobLine* rest = nullptr;
  for (auto it = begin; it != end; ++it) {
    const SlurmTasks& tasks = it->second->tasks;
    if (!record.batch->array) return it->second;
    if (std::binary_search(tasks.index.begin(), tasks.index.end(), record.index)) return it->second;
    if (tasks.truncated) rest = it->second;
  }
  return rest;
}

std::multimap<std::string, const SlurmJobLine*> ByJob(const std::vector<SlurmJobLine>& lines) {
  std::multimap<std::string, const SlurmJobLine*> by_job;
  for (const SlurmJobLine& line : lines) by_job.emplace(line.job, &line);
  return by_job;
}

std::vector<std::string> Squeue(std::vector<std::string> more = {}) {
  std::vector<std::string> argument = {"squeue", "--noheader", absl::StrCat("--user=", ::getuid()),
                                       absl::StrCat("--format=", kSqueueFormat)};
  argument.insert(argument.end(), more.begin(), more.end());
  return argument;
}

// From now on a job that comes of this batch does not start the gang. False: one has started it already.
absl::StatusOr<bool> Revoke(const std::string& folder, int index) {
  const std::string claim = absl::StrCat(folder, "/claim.", index), aside = absl::StrCat(claim, ".revoked");
  RETURN_IF_ERROR(WriteFile(aside, "revoked"));
  const int linked = ::link(aside.c_str(), claim.c_str());
  const int error = errno;
  ::unlink(aside.c_str());
  if (linked == 0) return true;
  if (error != EEXIST) return ErrnoError(error, "link", claim);
  return false;
}

}  // namespace

std::string JobOf(const SlurmRecord& record) {
  if (record.batch == nullptr) return "";
  return record.batch->array ? absl::StrCat(record.batch->job, "_", record.index) : record.batch->job;
}

SlurmClerk::SlurmClerk(SlurmOptions options, std::string program)
    : options_(std::move(options)),
      program_(std::move(program)),
      commands_(options_.commands),
      max_batch_(options_.cluster.slurm().max_jobs_in_queue()),
      thread_([this] { Loop(); }) {}

SlurmClerk::~SlurmClerk() {
  {
    Lock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (unsent_ == nullptr || !unsent_->unsure) return;
  for (const auto& [index, record] : unsent_->member) {
    if (!record->open) Revoke(unsent_->folder, index).IgnoreError();
  }
}

void SlurmClerk::Loop() {
  Lock lock(mutex_);
  while (true) {
    if (stop_ && cancelling_.empty() && to_end_.empty()) return;
    if (num_open_ == 0 && cancelling_.empty() && to_end_.empty() && !stop_) {
      busy_since_ = absl::InfiniteFuture();
      wake_.wait(lock);
      continue;
    }
    if (busy_since_ == absl::InfiniteFuture()) busy_since_ = absl::Now();
    if (absl::Now() >= paused_until_) {
      SendCancels(lock);
      if (!stop_) SubmitNext(lock);
      if (!stop_ && StatesAreDue()) AskStates(lock);
    }
    // What cannot be cancelled now goes on without us; a new executor finds it.
    if (stop_) return;
    wake_.wait_for(lock, absl::ToChronoMilliseconds(std::max(Scaled(kTurn), absl::Milliseconds(2))));
  }
}

absl::Duration SlurmClerk::Busy() const {
  return busy_since_ == absl::InfiniteFuture() ? absl::ZeroDuration() : absl::Now() - busy_since_;
}

// Says whether the controller has answered; waits longer and longer if not.
bool SlurmClerk::Heard(const SlurmCommands::Result& result) {
  if (!result.failure.has_value() ||
      (*result.failure != SlurmFailure::kAway && *result.failure != SlurmFailure::kBusy)) {
    num_failures_ = 0;
    failing_since_ = absl::InfiniteFuture();
    warned_ = false;
    return true;
  }
  const absl::Time now = absl::Now();
  failing_since_ = std::min(failing_since_, now);
  const int shift = std::min(num_failures_++, 10);
  paused_until_ = now + Scaled(std::min(kPause * (1 << shift), kLongestPause));
  if (!warned_ && now - failing_since_ >= Scaled(kWarnAfter)) {
    warned_ = true;
    warning_ =
        absl::StrCat("Slurm's controller ", *result.failure == SlurmFailure::kAway ? "does not answer" : "is busy",
                     ": ", result.error.substr(0, 200), "; jobs go on, it is asked again");
  }
  return false;
}

void SlurmClerk::LearnConfig(Lock& lock) {
  lock.unlock();
  const SlurmCommands::Result result = commands_.Run({"scontrol", "show", "config"});
  lock.lock();
  if (!Heard(result)) return;
  if (!result.failure.has_value()) config_ = ParseSlurmConfig(result.output);
  knows_config_ = true;
  max_batch_ = std::min(max_batch_, std::max(1, config_.max_array_size - 1));
}

void SlurmClerk::Submit(std::shared_ptr<SlurmRecord> record) {
  {
    Lock lock(mutex_);
    ++num_open_;
    if (waiting_.empty()) waiting_since_ = absl::Now();
    waiting_.push_back(std::move(record));
  }
  wake_.notify_all();
}

// ---- Submitting ----

void SlurmClerk::SubmitNext(Lock& lock) {
  if (unsent_ == nullptr && waiting_.empty()) return;
  if (!knows_config_) {
    LearnConfig(lock);
    if (!knows_config_) return;
  }
  const absl::Time now = absl::Now();
  while (!submissions_.empty() && now - submissions_.front() > Scaled(absl::Minutes(1))) submissions_.pop_front();
  if (static_cast<int>(submissions_.size()) >= options_.cluster.slurm().submissions_per_minute()) return;
  if (unsent_ == nullptr) {
    if (now - waiting_since_ < std::clamp(Busy() / kGathersOfBusyTime, Scaled(kGather), Scaled(kLongestGather))) return;
    unsent_ = MakeBatch();
    if (unsent_ == nullptr) return;
    lock.unlock();
    const absl::Status written = WriteBatch(*unsent_);  // only this thread changes it
    lock.lock();
    if (!written.ok()) return Refused(std::string(written.message()));
  }
  SendBatch(lock);
}

// The gangs at the head of those that wait that can go together; null: there is no room for them yet.
std::shared_ptr<SlurmBatch> SlurmClerk::MakeBatch() {
  const SlurmRequest& request = waiting_.front()->request;
  const int room = options_.cluster.slurm().max_jobs_in_queue() - num_in_queue_;
  std::vector<std::shared_ptr<SlurmRecord>> chosen;
  for (const auto& record : waiting_) {
    if (static_cast<int>(chosen.size()) == max_batch_) break;
    if (record->request == request) chosen.push_back(record);
    if (request.ranks > 1) break;
  }
  // A small array for each job that ends would be many: half of the queue at a time.
  const int enough = std::min<int>(chosen.size(), std::max(1, options_.cluster.slurm().max_jobs_in_queue() / 2));
  if (room < enough) return nullptr;
  if (static_cast<int>(chosen.size()) > room) chosen.resize(room);

  auto batch = std::make_shared<SlurmBatch>();
  const std::string& id = chosen.front()->id.empty() ? chosen.front()->stage : chosen.front()->id;
  batch->name = absl::StrCat("millrace-", id, "-", Random());
  for (char& c : batch->name) {
    if (!MayBeAName(absl::string_view(&c, 1))) c = '-';
  }
  batch->folder = JoinPath(options_.folder, batch->name);
  batch->array = chosen.size() > 1;
  const std::set<const SlurmRecord*> taken = [&] {
    std::set<const SlurmRecord*> set;
    for (const auto& record : chosen) set.insert(record.get());
    return set;
  }();
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(),
                                [&](const auto& record) { return taken.contains(record.get()); }),
                 waiting_.end());
  if (!waiting_.empty()) waiting_since_ = absl::Now();
  for (auto& record : chosen) {
    record->phase = Phase::kSubmitting;
    record->batch = batch;
    record->index = static_cast<int>(batch->member.size());
    batch->member.emplace(record->index, record);
  }
  batch->num_open = static_cast<int>(batch->member.size());
  return batch;
}

absl::Status SlurmClerk::WriteBatch(const SlurmBatch& batch) {
  std::string list;
  for (const auto& [index, record] : batch.member)
    absl::StrAppend(&list, JoinPath(record->work_folder, kSlurmSpecFile), "\n");
  RETURN_IF_ERROR(CreateDirectories(batch.folder));
  RETURN_IF_ERROR(WriteFile(JoinPath(batch.folder, "list"), list));
  const std::string script =
      RenderSlurmScript(batch.member.begin()->second->request, options_.cluster.slurm(), batch.name, batch.folder,
                        program_, batch.array ? static_cast<int>(batch.member.size()) : 1,
                        std::vector<std::string>(avoided_.begin(), avoided_.end()));
  RETURN_IF_ERROR(WriteFile(JoinPath(batch.folder, "job.sh"), script));
  for (const auto& [index, record] : batch.member) {
    // It is whole before sbatch is called.
    RETURN_IF_ERROR(WriteFile(JoinPath(record->work_folder, kBatchFile),
                              absl::StrCat(batch.name, "\n", index, "\n", record->id, "\n")));
  }
  return absl::OkStatus();
}

void SlurmClerk::SendBatch(Lock& lock) {
  const std::shared_ptr<SlurmBatch> batch = unsent_;
  if (batch->unsure) {
    lock.unlock();
    const SlurmCommands::Result result = commands_.Run(Squeue({"--states=all", absl::StrCat("--name=", batch->name)}));
    lock.lock();
    if (!Heard(result) || result.failure.has_value()) return;
    const std::vector<SlurmJobLine> lines = ParseSqueue(result.output);
    if (!lines.empty()) return Accepted(*batch, lines.front().job);
    batch->unsure = false;
  }
  submissions_.push_back(absl::Now());
  lock.unlock();
  const SlurmCommands::Result result = commands_.Run({"sbatch", "--parsable", JoinPath(batch->folder, "job.sh")});
  lock.lock();
  batch->unsure = result.unsure;
  if (!Heard(result)) return;
  if (!result.failure.has_value()) {
    const absl::optional<std::string> job = ParseSbatch(result.output);
    if (job.has_value()) return Accepted(*batch, *job);
    return Refused(absl::StrCat("sbatch said \"", result.output, "\", which is no job's number"));
  }
  if (*result.failure == SlurmFailure::kQueueFull) {
    // Perhaps less goes in; perhaps later, when what is there has ended.
    if (batch->array && batch->member.size() > 1) {
      max_batch_ = std::max<int>(1, static_cast<int>(batch->member.size()) / 2);
    } else if (num_in_queue_ == 0 && ++batch->refusals >= kRefusalsOfAFullQueue) {
      return Refused(result.error);
    }
    paused_until_ = absl::Now() + Scaled(kPause) * (1 << std::min(batch->refusals, 5));
    if (!batch->array) return;
    for (auto it = batch->member.rbegin(); it != batch->member.rend(); ++it) {
      it->second->phase = Phase::kWaiting;
      it->second->batch = nullptr;
      waiting_.push_front(it->second);
    }
    RemoveTree(batch->folder).IgnoreError();
    unsent_ = nullptr;
    return;
  }
  Refused(result.error);
}

void SlurmClerk::Accepted(SlurmBatch& batch, std::string job) {
  // Whoever comes after this executor finds it, without this file by its name.
  WriteFileAtomic(JoinPath(batch.folder, "job"), job).IgnoreError();
  batch.job = std::move(job);
  batch.submitted_at = absl::Now();
  for (auto it = batch.member.begin(); it != batch.member.end();) {
    SlurmRecord& record = *it->second;
    record.phase = Phase::kInQueue;
    if (record.open) {
      record.in_queue = true;
      ++num_in_queue_;
      ++it;
    } else {
      to_end_.push_back(JobOf(record));
      it = batch.member.erase(it);
    }
  }
  if (batch.num_open > 0) by_job_[batch.job] = unsent_;
  unsent_ = nullptr;
}

void SlurmClerk::Refused(const std::string& why) {
  for (const auto& [index, record] : unsent_->member) {
    record->phase = Phase::kRefused;
    record->message = why;
  }
  RemoveTree(unsent_->folder).IgnoreError();
  unsent_ = nullptr;
}

// ---- Cancelling ----

void SlurmClerk::Cancel(const std::shared_ptr<SlurmRecord>& record, Wish wish) {
  {
    Lock lock(mutex_);
    if (record->phase == Phase::kWaiting) {
      waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), record), waiting_.end());
      record->phase = Phase::kWithdrawn;
      return;
    }
    if (record->phase == Phase::kRefused || record->phase == Phase::kWithdrawn || record->phase == Phase::kGone ||
        wish <= record->wish)
      return;
    if (record->wish == Wish::kNone) cancelling_.push_back(record);
    record->wish = wish;
  }
  wake_.notify_all();
}

void SlurmClerk::SendCancels(Lock& lock) {
  std::vector<std::string> cancel, kill, end;
  end.swap(to_end_);
  std::vector<std::shared_ptr<SlurmRecord>> told;
  const absl::Time now = absl::Now();
  for (const auto& record : cancelling_) {
    if (record->phase != Phase::kInQueue) continue;
    const absl::Duration patience =
        Scaled(kNodeHelps) + (record->done == Wish::kCancel ? record->grace : absl::ZeroDuration());
    if (now > record->told_at + patience)
      record->wish = std::max(record->wish, Wish(static_cast<int>(record->done) + 1));
    if (!record->open) record->wish = Wish::kEnd;
    if (record->wish <= record->done) continue;
    (record->wish == Wish::kCancel ? cancel : record->wish == Wish::kKill ? kill : end).push_back(JobOf(*record));
    told.push_back(record);
  }
  std::vector<std::vector<std::string>> commands;
  const auto add = [&](std::vector<std::string> command, const std::vector<std::string>& jobs) {
    if (jobs.empty()) return;
    command.insert(command.end(), jobs.begin(), jobs.end());
    commands.push_back(std::move(command));
  };
  // What is pending for us may run by now: both are told for all, and Slurm looks at the state.
  std::vector<std::string> both = cancel;
  both.insert(both.end(), kill.begin(), kill.end());
  add({"scancel", "--quiet", "--state=PENDING"}, both);
  add({"scancel", "--quiet", "--state=RUNNING", "--batch", "--signal=TERM"}, cancel);
  add({"scancel", "--quiet", "--state=RUNNING", "--batch", "--signal=USR1"}, kill);
  add({"scancel", "--quiet"}, end);
  for (const std::vector<std::string>& command : commands) {
    lock.unlock();
    const SlurmCommands::Result result = commands_.Run(command);
    lock.lock();
    if (!Heard(result)) {
      to_end_.insert(to_end_.end(), end.begin(), end.end());
      return;
    }
  }
  for (const auto& record : told) {
    record->done = record->wish;
    record->told_at = absl::Now();
  }
  if (!told.empty()) asked_at_ = std::min(asked_at_, absl::Now() - Scaled(kLongestTick) + Scaled(kTick) / 2);
  cancelling_.erase(std::remove_if(cancelling_.begin(), cancelling_.end(),
                                   [](const auto& record) {
                                     return (record->phase != Phase::kInQueue && record->phase != Phase::kSubmitting) ||
                                            record->done == Wish::kKill ||
                                            (!record->open && record->done == record->wish);
                                   }),
                    cancelling_.end());
}

// ---- States ----

bool SlurmClerk::StatesAreDue() const {
  if (by_job_.empty()) return false;
  const absl::Duration tick =
      num_verdicts_ > 0 ? Scaled(kTick) : std::clamp(Busy() / kTicksOfBusyTime, Scaled(kTick), Scaled(kLongestTick));
  return absl::Now() - asked_at_ >= tick;
}

void SlurmClerk::WantVerdict(SlurmRecord& record) {
  Lock lock(mutex_);
  if (record.verdict_wanted_at != absl::InfiniteFuture() || record.phase != Phase::kInQueue) return;
  record.verdict_wanted_at = absl::Now();
  ++num_verdicts_;
}

void SlurmClerk::SetGone(SlurmRecord& record, SlurmState state, absl::string_view word) {
  if (record.phase != Phase::kInQueue) return;
  record.phase = Phase::kGone;
  record.state = state;
  record.word = std::string(word);
  record.gone_at = absl::Now();
  if (record.verdict_wanted_at != absl::InfiniteFuture()) --num_verdicts_;
  if (record.in_queue) {
    record.in_queue = false;
    --num_in_queue_;
  }
}

void SlurmClerk::TakeLine(SlurmRecord& record, const SlurmJobLine& line) {
  // Who wants a verdict has seen it end.
  const bool ran = record.began || record.verdict_wanted_at != absl::InfiniteFuture();
  const bool back = line.state == SlurmState::kRequeued || (line.state == SlurmState::kPending && ran);
  if (!line.nodes.empty()) record.nodes = line.nodes;
  if (!IsActive(line.state)) return SetGone(record, line.state, line.word);
  record.state = line.state;
  record.word = line.word;
  record.began |= line.state == SlurmState::kRunning || line.state == SlurmState::kCompleting;
  if (back || absl::StrContains(line.reason, "launch failed")) {
    record.requeued = true;
    to_end_.push_back(JobOf(record));
    return SetGone(record, SlurmState::kPreempted, line.word);
  }
  if (line.state == SlurmState::kPending && IsHeld(line.reason) && !record.warned) {
    record.warned = true;
    record.warning = absl::StrCat("job ", JobOf(record), " does not start by itself: ", line.reason);
  }
  if (absl::Now() - record.verdict_wanted_at > Scaled(kMaxVerdictWait))
    SetGone(record, SlurmState::kUnknown, line.word);
}

void SlurmClerk::AskStates(Lock& lock) {
  const absl::Time asked_at = absl::Now();
  lock.unlock();
  SlurmCommands::Result result = commands_.Run(Squeue());
  lock.lock();
  asked_at_ = absl::Now();
  if (!Heard(result) || result.failure.has_value()) return;
  const std::vector<SlurmJobLine> active = ParseSqueue(result.output);
  RemoveOldFolders(active, lock);

  // Those that are not there any more.
  std::vector<std::shared_ptr<SlurmRecord>> missing;
  const auto take = [&](const std::vector<std::shared_ptr<SlurmRecord>>& records, const auto& lines) {
    std::vector<std::shared_ptr<SlurmRecord>> left;
    for (const auto& record : records) {
      if (!record->open || record->phase != Phase::kInQueue) continue;
      if (const SlurmJobLine* line = LineOf(*record, lines)) {
        TakeLine(*record, *line);
      } else {
        left.push_back(record);
      }
    }
    return left;
  };
  {
    std::vector<std::shared_ptr<SlurmRecord>> all;
    for (const auto& [job, batch] : by_job_) {
      if (batch->submitted_at > asked_at) continue;
      for (const auto& [index, record] : batch->member) all.push_back(record);
    }
    missing = take(all, ByJob(active));
  }
  // A result file says it all, but for what a verdict is wanted for.
  lock.unlock();
  missing.erase(std::remove_if(missing.begin(), missing.end(),
                               [](const auto& record) {
                                 return record->verdict_wanted_at == absl::InfiniteFuture() &&
                                        FileExists(JoinPath(record->work_folder, kSlurmResultFile));
                               }),
                missing.end());
  lock.lock();
  if (missing.empty()) return;

  // The controller remembers jobs for some minutes after their end (MinJobAge).
  lock.unlock();
  result = commands_.Run(Squeue({"--states=all"}));
  lock.lock();
  if (!Heard(result) || result.failure.has_value()) return;
  const std::vector<SlurmJobLine> ended = ParseSqueue(result.output);
  const auto lines = ByJob(ended);
  // Of a cancelled job accounting knows by whom.
  std::vector<std::shared_ptr<SlurmRecord>> ask;
  for (const auto& record : missing) {
    if (!record->open || record->phase != Phase::kInQueue) continue;
    const SlurmJobLine* line = LineOf(*record, lines);
    if (line == nullptr || (line->state == SlurmState::kCancelled && record->wish == Wish::kNone))
      ask.push_back(record);
  }
  if (!ask.empty() && !knows_config_) LearnConfig(lock);
  if (config_.accounting && !ask.empty()) {
    std::set<std::string> jobs;
    for (const auto& record : ask) jobs.insert(record->batch->job);
    lock.unlock();
    result =
        commands_.Run({"sacct", "--noheader", "--parsable2", "--allocations", absl::StrCat("--format=", kSacctFormat),
                       absl::StrCat("--jobs=", absl::StrJoin(jobs, ","))});
    lock.lock();
    if (!result.failure.has_value()) {
      const std::vector<SlurmJobLine> accounted = ParseSacct(result.output);
      const auto known = ByJob(accounted);
      for (const auto& record : ask) {
        const SlurmJobLine* line = LineOf(*record, known);
        // Accounting may lag behind the controller.
        if (line != nullptr && record->open && !IsActive(line->state)) TakeLine(*record, *line);
      }
    } else if (*result.failure == SlurmFailure::kNoAccounting) {
      config_.accounting = false;
    }
  }
  for (const auto& record : take(missing, lines)) SetGone(*record, SlurmState::kUnknown, "");
}

// ---- What is left behind ----

void SlurmClerk::RemoveOldFolders(const std::vector<SlurmJobLine>& lines, Lock& lock) {
  if (old_folders_removed_) return;
  old_folders_removed_ = true;
  std::set<std::string> used;
  for (const SlurmJobLine& line : lines) used.insert(line.name);
  for (const auto& [job, batch] : by_job_) used.insert(batch->name);
  lock.unlock();
  if (DIR* dir = ::opendir(options_.folder.c_str()); dir != nullptr) {
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name, path = JoinPath(options_.folder, name);
      struct stat s;
      if (absl::StartsWith(name, "millrace-") && !used.contains(name) && ::stat(path.c_str(), &s) == 0 &&
          absl::Now() - absl::FromTimeT(s.st_mtime) > kOldFolder)
        RemoveTree(path).IgnoreError();
    }
    ::closedir(dir);
  }
  lock.lock();
}

SlurmRecord SlurmClerk::Look(SlurmRecord& record) {
  Lock lock(mutex_);
  SlurmRecord copy = record;
  if (copy.warning.empty()) copy.warning = std::exchange(warning_, "");
  record.warning.clear();
  return copy;
}

void SlurmClerk::Close(SlurmRecord& record) {
  std::string folder;
  std::shared_ptr<SlurmRecord> keep;
  {
    Lock lock(mutex_);
    if (!record.open) return;
    record.open = false;
    --num_open_;
    if (record.phase == Phase::kInQueue && record.verdict_wanted_at != absl::InfiniteFuture()) --num_verdicts_;
    if (record.in_queue) --num_in_queue_;
    record.in_queue = false;
    if (record.batch != nullptr) {
      SlurmBatch& batch = *record.batch;
      --batch.num_open;
      if (!batch.job.empty()) {
        if (batch.num_open == 0) {
          by_job_.erase(batch.job);
          adopted_.erase(batch.name);
          // A cancelled job may still have to read its files.
          if (record.phase != Phase::kInQueue || record.wish == Wish::kNone) folder = batch.folder;
        }
        keep = batch.member[record.index];
        batch.member.erase(record.index);
      }
    }
  }
  if (!folder.empty()) RemoveTree(folder).IgnoreError();
  wake_.notify_all();
}

void SlurmClerk::Avoid(const std::string& node) {
  Lock lock(mutex_);
  if (MayBeAName(node) && static_cast<int>(avoided_.size()) < kMaxAvoided) avoided_.insert(node);
}

// ---- After a restart ----

absl::StatusOr<bool> SlurmClerk::Adopt(const std::shared_ptr<SlurmRecord>& record) {
  const absl::StatusOr<std::string> text = ReadFile(JoinPath(record->work_folder, kBatchFile));
  if (!text.ok()) return false;
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  int index;
  if (lines.size() < 3 || !MayBeAName(lines[0]) || !absl::SimpleAtoi(lines[1], &index) || lines[2] != record->id)
    return false;
  const std::string folder = JoinPath(options_.folder, lines[0]);
  std::shared_ptr<SlurmBatch> batch;
  {
    Lock lock(mutex_);
    if (const auto found = adopted_.find(lines[0]); found != adopted_.end()) batch = found->second;
  }
  if (batch == nullptr) {
    batch = std::make_shared<SlurmBatch>();
    batch->name = lines[0];
    batch->folder = folder;
    const absl::StatusOr<std::string> list = ReadFile(JoinPath(folder, "list"));
    if (!list.ok()) return false;
    batch->num_open = static_cast<int>(std::count(list->begin(), list->end(), '\n'));
    batch->array = batch->num_open > 1;
    if (const absl::StatusOr<std::string> job = ReadFile(JoinPath(folder, "job")); job.ok()) batch->job = *job;
  }
  if (batch->job.empty()) {
    const SlurmCommands::Result result = commands_.Run(Squeue({"--states=all", absl::StrCat("--name=", batch->name)}));
    if (result.failure.has_value())
      return absl::UnavailableError(absl::StrCat("is there a job of stage \"", record->stage, "\": ", result.error));
    if (const std::vector<SlurmJobLine> found = ParseSqueue(result.output); !found.empty())
      batch->job = found.front().job;
  }
  if (batch->job.empty()) {
    // sbatch may still be under way.
    ASSIGN_OR_RETURN(const bool revoked, Revoke(folder, index));
    if (revoked) return false;
    const std::string claim = absl::StrCat(folder, "/claim.", index);
    const std::string owner = ReadFile(claim).value_or("");
    if (!absl::StartsWith(owner, "run ")) return false;
    batch->job = owner.substr(4, owner.find_first_of("_\n") - 4);
  }
  WriteFileAtomic(JoinPath(folder, "job"), batch->job).IgnoreError();
  Lock lock(mutex_);
  const auto [known, fresh] = adopted_.emplace(batch->name, batch);
  batch = known->second;
  if (fresh) {
    batch->submitted_at = absl::InfinitePast();
    by_job_[batch->job] = batch;
  }
  record->batch = batch;
  record->index = index;
  record->phase = Phase::kInQueue;
  record->in_queue = true;
  batch->member[index] = record;
  ++num_in_queue_;
  ++num_open_;
  wake_.notify_all();
  return true;
}

}  // namespace millrace
