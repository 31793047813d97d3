// Threads take the ready stage that has the longest way to the end among those that a machine is free for, and drive it
// to its end: run, publish, decide on what waits for it. The calling thread hands events on, to the log and to the
// sink.
//
// A stage that ends decides on its consumers at once (a look-up), so that a chain of cached stages costs no thread.
#include "executor/engine/run.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/status_macros.h"
#include "executor/engine/machine.h"
#include "executor/engine/stage_index.h"

namespace millrace {
namespace {

constexpr absl::Duration kSyncAfter = absl::Seconds(30);
// Events may be this old when they are shown; stages do not wait for that.
constexpr std::chrono::milliseconds kPassOnEvery(20);
constexpr size_t kPassOnAtOnce = 256;
constexpr int64_t kDecideTogether = 64;
// Times that a stage's machines may be taken back before it is given up.
constexpr int kMaxLost = 50;
constexpr int kAskTogether = 16;
constexpr absl::Duration kRetryDelay = absl::Milliseconds(200);

StageInfo InfoOf(const ResolvedPipeline& pipeline, const ResolvedStage& stage) {
  StageInfo info;
  info.set_name(stage.name);
  info.set_kind(stage.kind);
  if (!stage.description.empty()) info.set_description(stage.description);
  for (const StageEdge& edge : stage.edges) {
    StageInputInfo& input = *info.add_input();
    input.set_name(edge.name);
    input.set_stage(pipeline.stages[edge.producer].name);
    input.set_output(edge.output);
  }
  for (const ExternalInput& input : stage.external_inputs) info.add_input()->set_name(input.name);
  for (const std::string& source : stage.sources) info.add_source(source);
  info.set_ranks(stage.ranks);
  return info;
}

}  // namespace

bool IsSettled(StageState state) { return state != WAITING && state != READY && state != RUNNING; }

PipelineRun::PipelineRun(Store& store, const ResolvedPipeline& pipeline, const EngineOptions& options, int jobs,
                         const std::atomic<int>& interrupts, const EventSink& sink)
    : store_(store),
      pipeline_(pipeline),
      options_(options),
      jobs_(jobs),
      interrupts_(interrupts),
      sink_(sink),
      consumers_(pipeline.stages.size()),
      stages_(pipeline.stages.size()),
      num_unsettled_(static_cast<int>(pipeline.stages.size())),
      machines_(options.cluster.has_value() && !pipeline.launcher.empty() ? Machines::OfCluster(*options.cluster)
                                                                          : Machines::OfThisMachine(jobs)) {
  for (int i = 0; i < static_cast<int>(pipeline.stages.size()); ++i) {
    std::set<int> producers;
    for (const StageEdge& edge : pipeline.stages[i].edges) producers.insert(edge.producer);
    for (const int producer : producers) consumers_[producer].push_back(i);
  }
}

PipelineRun::~PipelineRun() = default;

absl::StatusOr<RunResult> PipelineRun::Execute() {
  started_at_ = absl::Now();
  store_.home.CleanUp();
  RETURN_IF_ERROR(CheckResolved());
  run_id_ = NewRunId();
  run_folder_ = store_.home.Run(run_id_);
  ASSIGN_OR_RETURN(lease_, Lease::Take(store_.home, run_id_));
  key_lock_ = KeyLock::Open(store_.home.KeyLocks());
  {
    const Cas::Hold hold(*store_.cas);
    RETURN_IF_ERROR(DecideAll());
    MarkNeeded();
    std::vector<Digest> relied_on;
    for (const Stage& stage : stages_) {
      if (stage.known) relied_on.push_back(stage.decision.key);
    }
    if (relied_on.size() < stages_.size()) RETURN_IF_ERROR(lease_->Add(relied_on));
    RETURN_IF_ERROR(InstallTools());
  }
  RETURN_IF_ERROR(Begin());

  RankStages();
  std::unique_lock lock(mutex_);
  SettleCached(lock);
  for (int i = 0; i < static_cast<int>(stages_.size()); ++i) {
    if (stages_[i].decided && !IsSettled(stages_[i].state) && stages_[i].waits_for == 0) MakeReady(i);
  }
  std::vector<std::thread> threads;
  if (!ready_.empty()) {
    RETURN_IF_ERROR(backend_.Start());
    const int num_threads = std::min(machines_.max_gangs(), num_unsettled_);
    for (int t = 0; t < num_threads; ++t) threads.emplace_back([this] { Work(); });
  }
  while (num_unsettled_ > 0) {
    TakeCacheNotes();
    PassOnEvents(lock);
    settled_.wait_for(lock, kPassOnEvery, [this] { return num_unsettled_ == 0; });
    const int interrupts = std::min(2, interrupts_.load());
    if (interrupts > 0 && num_unsettled_ > 0) {
      exit_status_ = 130;
      stop_ = std::max(stop_.load(), interrupts);
      work_.notify_all();
    }
    // Once stopped, what has not started does not start.
    if (stop_ > 0 && num_running_ == 0) {
      for (int i = 0; i < static_cast<int>(stages_.size()); ++i) {
        if (!IsSettled(stages_[i].state)) Transition(i, SKIPPED);
      }
    }
  }
  lock.unlock();
  work_.notify_all();
  for (std::thread& thread : threads) thread.join();
  return Finish();
}

absl::Status PipelineRun::CheckResolved() const {
  std::vector<std::string> unresolved;
  for (const ResolvedStage& stage : pipeline_.stages) {
    for (const ExternalInput& input : stage.external_inputs) {
      if (input.unresolved.empty()) continue;
      unresolved.push_back(absl::StrCat(input.location.ToString(), ": stage \"", stage.name, "\": ", input.unresolved));
    }
  }
  return unresolved.empty() ? absl::OkStatus() : absl::FailedPreconditionError(absl::StrJoin(unresolved, "\n"));
}

absl::Status PipelineRun::Begin() {
  ASSIGN_OR_RETURN(log_, RunLogWriter::Create(run_folder_));
  RETURN_IF_ERROR(store_.home.PointLatest(pipeline_.name, run_id_));
  work_folders_ = std::make_unique<WorkFolders>(store_.home.Work(run_id_));
  context_ = {&store_, &backend_, work_folders_.get(), &pipeline_, run_id_, run_folder_, &stop_};

  RunEvent event;
  RunStarted& started = *event.mutable_run_started();
  started.set_run_id(run_id_);
  started.set_pipeline(pipeline_.name);
  started.set_profile(pipeline_.profile);
  started.set_file(pipeline_.file);
  started.set_resolved_text(pipeline_.text);
  for (const ResolvedStage& stage : pipeline_.stages) *started.add_stage() = InfoOf(pipeline_, stage);
  for (const std::string& argument : options_.arguments) started.add_argument(argument);
  started.set_millrace_version(kVersion);
  *started.mutable_machine() = ReadMachineFacts(pipeline_.numerics);
  started.set_jobs(jobs_);
  std::lock_guard lock(mutex_);
  Emit(std::move(event));
  for (std::string& note : notes_) Note(std::move(note));
  return absl::OkStatus();
}

// Level by level: the stages of a level need only what is before it, so they are decided on at the same time.
absl::Status PipelineRun::DecideAll() {
  const int count = static_cast<int>(stages_.size());
  std::vector<int> level(count, 0);
  std::vector<std::vector<int>> levels;
  for (int i = 0; i < count; ++i) {
    for (const StageEdge& edge : pipeline_.stages[i].edges) level[i] = std::max(level[i], level[edge.producer] + 1);
    if (level[i] == static_cast<int>(levels.size())) levels.emplace_back();
    levels[level[i]].push_back(i);
  }
  std::vector<absl::Status> status(count);
  for (const std::vector<int>& members : levels) {
    const int64_t size = static_cast<int64_t>(members.size());
    // Those that ask a shared cache wait for it most of the time.
    const int64_t together = store_.remotes != nullptr ? 1 : kDecideTogether;
    const int threads = store_.remotes != nullptr ? std::max(kAskTogether, store_.threads) : store_.threads;
    const int64_t chunks = (size + together - 1) / together;
    ParallelFor(threads, chunks, [&](int64_t chunk) {
      for (int64_t m = chunk * together; m < std::min(size, (chunk + 1) * together); ++m)
        status[members[m]] = DecideStage(members[m]);
    });
  }
  RETURN_IF_ERROR(store_.memo->Flush());  // also of a run that goes no further: what was read need not be read again
  if (interrupts_ > 0) return absl::CancelledError("interrupted; nothing was run");
  for (int i = 0; i < count; ++i) {
    if (!status[i].ok()) return Annotate(status[i], absl::StrCat("stage \"", pipeline_.stages[i].name, "\""));
    if (!stages_[i].decision.lock_differences.empty()) notes_.push_back(LockNote(i, stages_[i].decision));
  }
  return absl::OkStatus();
}

absl::StatusOr<Decision> PipelineRun::DecideOn(int i, const std::vector<const ActionEntry*>& producers,
                                               const DecideOptions& options) {
  ASSIGN_OR_RETURN(Decision decision, Decide(store_, pipeline_, i, producers, options));
  if (options_.locked && !decision.lock_differences.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("files are not what their lock says\n    ", absl::StrJoin(decision.lock_differences, "\n    "),
                     "\n  why: --locked\n  fix: get the locked files, or write the lock file anew"));
  }
  return decision;
}

absl::StatusOr<Decision> PipelineRun::DecideNow(int i, const DecideOptions& options,
                                                std::unique_lock<std::mutex>& lock) {
  const ProducerOutputs producers = CopyOutputs(i);
  lock.unlock();
  absl::StatusOr<Decision> decision = absl::UnknownError("");
  {
    const Cas::Hold hold(*store_.cas);
    decision = DecideOn(i, producers.pointers, options);
    if (decision.ok() && options.ask_remotes) FindRemotely(store_, *decision);
    if (decision.ok() && decision->state != EntryState::kAbsent) lease_->Add({decision->key}).IgnoreError();
  }
  lock.lock();
  if (decision.ok() && !decision->lock_differences.empty()) Note(LockNote(i, *decision));
  return decision;
}

std::string PipelineRun::LockNote(int i, const Decision& decision) const {
  return absl::StrCat("stage \"", pipeline_.stages[i].name,
                      "\": files are not what their lock says: ", absl::StrJoin(decision.lock_differences, "; "));
}

absl::Status PipelineRun::DecideStage(int i) {
  if (interrupts_ > 0) return absl::OkStatus();
  Stage& stage = stages_[i];
  for (const StageEdge& edge : pipeline_.stages[i].edges) {
    const Stage& producer = stages_[edge.producer];
    if (!producer.known || producer.decision.entry.gate_failed()) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(stage.decision, DecideOn(i, Producers(i), OptionsFor(i)));
  stage.decided = true;
  stage.known = stage.decision.state != EntryState::kAbsent;
  return absl::OkStatus();
}

// From the last stage to the first: a stage whose entry is there is cached, unless it is forced, or its bytes are gone
// and something needs them. If shared caches have them, it needs nothing else.
void PipelineRun::MarkNeeded() {
  std::vector<bool> needed(stages_.size(), false);
  for (int i = static_cast<int>(stages_.size()) - 1; i >= 0; --i) {
    Stage& stage = stages_[i];
    const bool wanted = stage.decision.state == EntryState::kKnown && (needed[i] || consumers_[i].empty());
    if (wanted) FindRemotely(store_, stage.decision);
    stage.counted_cached = stage.known && !wanted && !Forced(i);
    if (stage.counted_cached || (stage.decision.remote.has_value() && !Forced(i))) continue;
    for (const StageEdge& edge : pipeline_.stages[i].edges) needed[edge.producer] = true;
  }
}

void PipelineRun::SettleCached(std::unique_lock<std::mutex>& lock) {
  std::vector<int> gates;
  for (int i = 0; i < static_cast<int>(stages_.size()); ++i) {
    Stage& stage = stages_[i];
    if (stage.counted_cached) {
      const bool gate_failed = stage.decision.entry.gate_failed();
      if (gate_failed) gates.push_back(i);
      Transition(i, gate_failed ? GATE_FAILED : CACHED);
      if (store_.uploads != nullptr && stage.decision.state == EntryState::kComplete)
        store_.uploads->AddEntry(stage.decision.key);
      // Few at a time: ten thousand events are many megabytes.
      if (events_.size() >= kPassOnAtOnce) PassOnEvents(lock);
    }
    std::set<int> missing;
    for (const StageEdge& edge : pipeline_.stages[i].edges) {
      if (!stages_[edge.producer].counted_cached) missing.insert(edge.producer);
    }
    stage.waits_for = static_cast<int>(missing.size());
  }
  for (const int i : gates) {
    exit_status_ = 4;
    SkipConsumers(i);
  }
}

// Before the first stage, those of all that may run. Under a Cas::Hold.
absl::Status PipelineRun::InstallTools() {
  for (int i = 0; i < static_cast<int>(stages_.size()); ++i) {
    const std::string& tool = pipeline_.stages[i].tool;
    if (tool.empty() || stages_[i].counted_cached || stages_[i].decision.remote.has_value()) continue;
    if (interrupts_ > 0) return absl::CancelledError("interrupted; nothing was run");
    RETURN_IF_ERROR(store_.tools->Install(tool).status());
  }
  return absl::OkStatus();
}

std::vector<const ActionEntry*> PipelineRun::Producers(int i) const {
  std::vector<const ActionEntry*> producers;
  for (const StageEdge& edge : pipeline_.stages[i].edges) producers.push_back(&stages_[edge.producer].decision.entry);
  return producers;
}

PipelineRun::ProducerOutputs PipelineRun::CopyOutputs(int i) const {
  ProducerOutputs copies;
  for (const ActionEntry* entry : Producers(i)) *copies.entries.emplace_back().mutable_output() = entry->output();
  for (const ActionEntry& entry : copies.entries) copies.pointers.push_back(&entry);
  return copies;
}

void PipelineRun::Emit(RunEvent event) {
  event.set_time_unix_micros(absl::ToUnixMicros(absl::Now()));
  events_.push_back(std::move(event));
}

void PipelineRun::Note(std::string text) {
  RunEvent event;
  event.set_note(std::move(text));
  Emit(std::move(event));
}

void PipelineRun::Transition(int i, StageState state, StageChanged details) {
  Stage& stage = stages_[i];
  MILLRACE_CHECK(!IsSettled(stage.state) || stage.rebuilt);
  const bool leaves_waiting = stage.state == WAITING && stage.decided;
  if (IsSettled(stage.state)) ++num_unsettled_;
  stage.state = state;
  if (IsSettled(state)) --num_unsettled_;
  details.set_stage(pipeline_.stages[i].name);
  details.set_state(state);
  if (stage.decided) {
    details.set_key(stage.decision.key.Hex());
    if (leaves_waiting && stage.decision.key_record.component_size() > 0)
      *details.mutable_key_record() = stage.decision.key_record;
    if (state == CACHED || state == COMPLETE || state == GATE_FAILED) *details.mutable_entry() = stage.decision.entry;
    if (!stage.decision.tool_digest.empty()) details.set_tool_digest(stage.decision.tool_digest);
  }
  if (stage.attempt > 0) details.set_attempt(stage.attempt);
  RunEvent event;
  *event.mutable_stage_changed() = std::move(details);
  Emit(std::move(event));
  if (num_unsettled_ == 0) settled_.notify_all();
}

// To the log first, then to the sink; the lock is open meanwhile.
void PipelineRun::PassOnEvents(std::unique_lock<std::mutex>& lock) {
  std::vector<RunEvent> events = std::exchange(events_, {});
  if (events.empty()) return;
  lock.unlock();
  const absl::Status status = log_->Append(events);
  if (sink_ != nullptr) {
    for (const RunEvent& event : events) sink_(event);
  }
  lock.lock();
  if (!status.ok() && !std::exchange(log_failed_, true))
    Note(absl::StrCat("the run's log misses something: ", status.message()));
}

// Durations are those of the nearest earlier run of each stage.
void PipelineRun::RankStages() {
  std::vector<double> seconds(stages_.size(), 0);
  const absl::StatusOr<std::unique_ptr<StageIndex>> index =
      num_unsettled_ > jobs_ && FileExists(store_.home.Index(pipeline_.name))
          ? StageIndex::Open(store_.home.Index(pipeline_.name))
          : absl::NotFoundError("");
  for (size_t i = 0; index.ok() && i < stages_.size(); ++i) {
    if (stages_[i].counted_cached) continue;
    const std::vector<Digest> keys = (*index)->KeysOf(pipeline_.stages[i].name, pipeline_.stages[i].kind);
    if (keys.empty()) continue;
    const auto found = store_.cache->Lookup(keys.front(), {.check_bytes = false, .with_key = false});
    if (found.ok() && found->state != EntryState::kAbsent) seconds[i] = found->entry.duration_seconds();
  }
  seconds_to_end_ = CriticalPathSeconds(pipeline_, seconds);
}

int PipelineRun::TakeReady(Placement& placement) {
  for (auto it = ready_.begin(); stop_ == 0 && it != ready_.end() && machines_.any_free();) {
    const int i = it->second;
    absl::StatusOr<absl::optional<Placement>> taken = machines_.Take(NeedsOf(pipeline_, pipeline_.stages[i]));
    if (!taken.ok()) {
      it = ready_.erase(it);
      AttemptResult result;
      result.status = taken.status();
      Fail(i, result);
    } else if (taken->has_value()) {
      ready_.erase(it);
      placement = **std::move(taken);
      return i;
    } else {
      ++it;
    }
  }
  return -1;
}

void PipelineRun::Work() {
  std::unique_lock lock(mutex_);
  while (num_unsettled_ > 0) {
    Placement placement;
    const int i = TakeReady(placement);
    if (i < 0) {
      if (num_unsettled_ > 0) work_.wait(lock);
      continue;
    }
    ++num_running_;
    RunStage(i, placement, lock);
    --num_running_;
    machines_.GiveBack(placement);
    work_.notify_all();
  }
}

void PipelineRun::MakeReady(int i) {
  Transition(i, READY);
  ready_.emplace(-seconds_to_end_[i], i);
  work_.notify_all();
}

// Attempts until it is there, or none is left.
void PipelineRun::RunStage(int i, const Placement& placement, std::unique_lock<std::mutex>& lock) {
  Stage& stage = stages_[i];
  const ResolvedStage& resolved = pipeline_.stages[i];
  const int attempts = resolved.execution.attempts();
  if (FetchInstead(i, lock)) return;
  absl::optional<KeyLock::Held> held;
  if (LeaveToOthers(i, held, lock)) return;
  int lost = 0;  // attempts that ended because the machines went
  const ReportSink report = [&](int rank, const StageEvent& event, const SegmentEntry* segment) {
    RunEvent reported;
    reported.mutable_stage_reported()->set_stage(resolved.name);
    reported.mutable_stage_reported()->set_rank(rank);
    *reported.mutable_stage_reported()->mutable_event() = event;
    if (segment != nullptr) *reported.mutable_stage_reported()->mutable_segment() = *segment;
    std::lock_guard inner(mutex_);
    Emit(std::move(reported));
  };
  if (stage.rebuilt) {
    // It was decided on as one that needs not run.
    absl::StatusOr<Decision> decision = DecideNow(i, {.will_run = true}, lock);
    if (!decision.ok()) return FailUndecided(i, decision.status());
    stage.decision = *std::move(decision);
  }
  if (FetchState(i, lock)) return;
  while (true) {
    ++stage.attempt;
    StageChanged details;
    if (resolved.train_steps.has_value()) {
      details.set_resumed_from_step(stage.decision.chain.resume_step);
      details.set_total_steps(resolved.train_steps->total_steps);
    }
    Transition(i, RUNNING, std::move(details));
    const ProducerOutputs producers = CopyOutputs(i);
    lock.unlock();
    AttemptResult result =
        RunAttempt(context_, i, stage.decision, producers.pointers, placement, stage.attempt, report);
    lock.lock();
    switch (result.outcome) {
      case AttemptResult::Outcome::kComplete:
        return Complete(i, COMPLETE, std::move(result.entry), lock);
      case AttemptResult::Outcome::kGateFailed:
        return Complete(i, GATE_FAILED, std::move(result.entry), lock);
      case AttemptResult::Outcome::kStopped:
        return Transition(i, SKIPPED);
      case AttemptResult::Outcome::kInputGone:
        if (const Stage& gone = stages_[result.gone_producer]; gone.rebuilt && IsSettled(gone.state))
          return Fail(i, result);
        return Rebuild(i, result.gone_producer);
      case AttemptResult::Outcome::kLost:
        ++lost;
        break;
      case AttemptResult::Outcome::kInputChanged:
      case AttemptResult::Outcome::kFailed:
        break;
    }
    const bool changed = result.outcome == AttemptResult::Outcome::kInputChanged;
    const bool was_lost = result.outcome == AttemptResult::Outcome::kLost;
    const int counted = stage.attempt - lost;
    const bool again = was_lost ? lost <= kMaxLost : counted < std::max(attempts, changed ? 3 : 1);
    if (stop_ > 0 || !again || !(was_lost || changed || result.retry)) return Fail(i, result);
    Note(absl::StrCat("stage \"", resolved.name,
                      "\": ", was_lost ? "" : absl::StrCat("attempt ", counted, " of ", attempts, ": "),
                      result.status.message(), "\n  trying again"));
    lock.unlock();
    absl::SleepFor(kRetryDelay);
    lock.lock();
    // Its inputs may be others now, and its chain is longer.
    DecideOptions options = OptionsFor(i);
    options.force &= !resolved.train_steps.has_value();
    absl::StatusOr<Decision> decision = DecideNow(i, options, lock);
    if (!decision.ok()) return FailUndecided(i, decision.status());
    stage.decision = *std::move(decision);
    if (stage.decision.state == EntryState::kComplete && !Forced(i))
      return Complete(i, COMPLETE, stage.decision.entry, lock);
    if (FetchState(i, lock)) return;
  }
}

void PipelineRun::Complete(int i, StageState state, ActionEntry entry, std::unique_lock<std::mutex>& lock) {
  Stage& stage = stages_[i];
  stage.decision.entry = std::move(entry);
  stage.decision.entry.clear_key();
  stage.decision.state = EntryState::kComplete;
  stage.known = true;
  stage.made_here = true;
  if (store_.uploads != nullptr) store_.uploads->AddEntry(stage.decision.key);
  Transition(i, state);
  if (state == GATE_FAILED) {
    if (exit_status_ == 0) exit_status_ = 4;
    return SkipConsumers(i);
  }
  Release(i, lock);
}

// Its entry is there after all, with its bytes: from a shared cache, or made by another executor.
void PipelineRun::CompleteCached(int i, std::unique_lock<std::mutex>& lock) {
  Stage& stage = stages_[i];
  const bool gate_failed = stage.decision.entry.gate_failed();
  stage.decision.state = EntryState::kComplete;
  stage.known = stage.counted_cached = true;
  Transition(i, gate_failed ? GATE_FAILED : CACHED);
  if (!gate_failed) return Release(i, lock);
  if (exit_status_ == 0) exit_status_ = 4;
  SkipConsumers(i);
}

// Decides on consumers that have waited for this one alone; those that are cached release theirs in turn.
void PipelineRun::Release(int i, std::unique_lock<std::mutex>& lock) {
  std::vector<int> released = {i};
  while (!released.empty()) {
    const int from = released.back();
    released.pop_back();
    for (const int consumer : consumers_[from]) {
      Stage& stage = stages_[consumer];
      if (stage.state != WAITING || --stage.waits_for > 0) continue;
      if (!stage.decided) {
        absl::StatusOr<Decision> decision = DecideNow(consumer, OptionsFor(consumer), lock);
        if (!decision.ok()) {
          FailUndecided(consumer, decision.status());
          continue;
        }
        stage.decision = *std::move(decision);
        stage.decided = true;
        stage.known = stage.decision.state != EntryState::kAbsent;
      }
      // Bytes on a shared cache come when somebody asks for them.
      const bool can_wait = stage.decision.remote.has_value() && !consumers_[consumer].empty();
      if ((stage.decision.state == EntryState::kComplete || can_wait) && !Forced(consumer)) {
        const bool gate_failed = stage.decision.entry.gate_failed();
        stage.counted_cached = true;
        Transition(consumer, gate_failed ? GATE_FAILED : CACHED);
        if (!gate_failed) {
          released.push_back(consumer);
          continue;
        }
        if (exit_status_ == 0) exit_status_ = 4;
        SkipConsumers(consumer);
      } else if (stop_ == 0) {
        MakeReady(consumer);
      }
    }
  }
}

void PipelineRun::Fail(int i, const AttemptResult& result) {
  StageChanged details;
  details.set_error(std::string(result.status.message()));
  for (const std::string& line : result.log_tail) details.add_log_tail(line);
  if (!result.log_path.empty()) details.set_log_path(result.log_path);
  Transition(i, FAILED, std::move(details));
  // The first failure counts; what else runs is ended in order, or all that does not need this stage goes on.
  if (exit_status_ == 0 || exit_status_ == 4) exit_status_ = result.machine_failed ? 3 : 1;
  if (!options_.keep_going) stop_ = std::max(stop_.load(), 1);
  SkipConsumers(i);
}

void PipelineRun::FailUndecided(int i, const absl::Status& status) {
  if (absl::IsCancelled(status)) {
    exit_status_ = 130;
    stop_ = std::max(stop_.load(), 1);
    Transition(i, SKIPPED);
    return SkipConsumers(i);
  }
  AttemptResult result;
  result.status = status;
  Fail(i, result);
}

void PipelineRun::SkipConsumers(int i) {
  for (const int consumer : consumers_[i]) {
    if (stages_[consumer].state != WAITING) continue;
    Transition(consumer, SKIPPED);
    SkipConsumers(consumer);
  }
}

// A producer's bytes went away since the run began, or are on a shared cache: they are fetched, or it runs again, once,
// and its consumers after it. They are decided on again: should its inputs have changed meanwhile, so has what it
// makes.
void PipelineRun::Rebuild(int consumer, int producer) {
  Stage& stage = stages_[producer];
  if (!stage.decision.remote.has_value())
    Note(absl::StrCat("stage \"", pipeline_.stages[producer].name, "\": some of its bytes are gone; it runs again"));
  Transition(consumer, WAITING);
  stages_[consumer].decided = false;
  stages_[consumer].waits_for = 1;
  --stages_[consumer].attempt;
  if (!IsSettled(stage.state)) return;  // another consumer has noticed
  stage.rebuilt = true;
  stage.counted_cached = false;
  for (const int other : consumers_[producer]) {
    if (other == consumer || stages_[other].state != WAITING) continue;
    stages_[other].decided = false;
    ++stages_[other].waits_for;
  }
  MakeReady(producer);
}

absl::StatusOr<RunResult> PipelineRun::Finish() {
  FinishUploads();
  RunResult result;
  result.run_id = run_id_;
  result.run_folder = run_folder_;
  RunEvent event;
  RunFinished& finished = *event.mutable_run_finished();
  int num_run = 0, num_cached = 0;
  double saved_seconds = 0;
  ASSIGN_OR_RETURN(const std::unique_ptr<StageIndex> index, StageIndex::Open(store_.home.Index(pipeline_.name)));
  for (int i = 0; i < static_cast<int>(stages_.size()); ++i) {
    Stage& stage = stages_[i];
    if (stage.made_here) ++num_run;
    if (stage.counted_cached && !stage.made_here) {
      ++num_cached;
      saved_seconds += stage.decision.entry.duration_seconds();
    }
    if (stage.state != CACHED && stage.state != COMPLETE && stage.state != GATE_FAILED) continue;
    index->Add(pipeline_.stages[i].name, pipeline_.stages[i].kind, stage.decision.key);
    result.entries.emplace(pipeline_.stages[i].name, std::move(stage.decision.entry));
  }
  const absl::Status indexed = index->Flush();
  const absl::Status remembered = store_.memo->Flush();
  if (log_failed_ && exit_status_ == 0) exit_status_ = 3;
  finished.set_exit_status(exit_status_);
  finished.set_duration_seconds(absl::ToDoubleSeconds(absl::Now() - started_at_));
  finished.set_stages_run(num_run);
  finished.set_stages_cached(num_cached);
  finished.set_saved_seconds(saved_seconds);
  std::unique_lock lock(mutex_);
  TakeCacheNotes();
  Emit(std::move(event));
  PassOnEvents(lock);
  // Killed while they are removed, the next run does it: the lease is let go after them.
  struct Held {
    std::unique_ptr<Lease> lease;
    std::unique_ptr<WorkFolders> folders;
  };
  auto held = std::make_shared<Held>();
  held->lease = std::move(lease_);
  held->folders = std::move(work_folders_);
  result.work_folders = std::move(held);
  // A long run is worth the seconds that this may take; after a short one, a loss of power costs reading it again.
  if (store_.cache->needs_sync() && absl::Now() - started_at_ > kSyncAfter) store_.cache->Sync().IgnoreError();
  result.exit_status = exit_status_;
  return result;
}

}  // namespace millrace
