// The part of PipelineRun about what others have or make: shared caches, and other executors on the same home.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/quantity.h"
#include "executor/engine/run.h"

namespace millrace {
namespace {

constexpr absl::Duration kAskOthersEvery = absl::Milliseconds(100);
constexpr absl::Duration kReportUploadsEvery = absl::Seconds(10);
constexpr absl::Duration kLookAtInterruptsEvery = absl::Milliseconds(50);
// A fetch may take twice as long as making it again, and at least this long.
constexpr absl::Duration kMinFetchTime = absl::Seconds(30);
// Smaller and quicker ones are not worth a line.
constexpr int64_t kNotedBytes = int64_t{16} << 20;

std::string RateText(int64_t bytes, double seconds) {
  return absl::StrCat(FormatBytes(static_cast<double>(bytes)), " in ", FormatSeconds(seconds), " (",
                      FormatBytes(static_cast<double>(bytes) / std::max(seconds, 1e-3)), "/s)");
}

// Bytes that came now may not survive a loss of power as what was recorded long ago does: it is recorded again.
void NoteWritten(Store& store, const Decision& decision) {
  const absl::StatusOr<FoundEntry> found = store.cache->Lookup(decision.key, {.check_bytes = false});
  if (found.ok() && found->state != EntryState::kAbsent) store.cache->Put(decision.key, found->entry, "").IgnoreError();
  if (!decision.chain_key.has_value()) return;
  const absl::StatusOr<std::vector<SegmentEntry>> segments = store.cache->Segments(*decision.chain_key);
  if (!segments.ok()) return;
  for (const SegmentEntry& segment : *segments) {
    if (segment.state().digest() == decision.chain.resume_state.digest())
      store.cache->PutSegment(*decision.chain_key, segment, "").IgnoreError();
  }
}

}  // namespace

// The bytes of a stage that is known, if shared caches have them.
bool PipelineRun::FetchInstead(int i, std::unique_lock<std::mutex>& lock) {
  Stage& stage = stages_[i];
  const bool gone = stage.decision.state == EntryState::kKnown || stage.rebuilt;
  if (store_.remotes == nullptr || !stage.known || !gone || Forced(i)) return false;
  const absl::Status fetched = Fetch(i, TreesOf(stage.decision.entry), stage.decision.entry.duration_seconds(),
                                     /*shown=*/true, lock);
  if (fetched.ok()) {
    CompleteCached(i, lock);
  } else if (absl::IsCancelled(fetched)) {
    Transition(i, SKIPPED);
  } else {
    stage.decision.remote.reset();
    return false;
  }
  return true;
}

// The state that training goes on from. If it cannot be had after all, training goes on from one that is here.
bool PipelineRun::FetchState(int i, std::unique_lock<std::mutex>& lock) {
  Stage& stage = stages_[i];
  const absl::StatusOr<Digest> state = Digest::Parse(stage.decision.chain.resume_state.digest());
  if (store_.remotes == nullptr || !state.ok() || store_.cache->HasTree(*state)) return false;
  const absl::Status fetched = Fetch(i, {*state}, stage.decision.chain.seconds, /*shown=*/false, lock);
  if (fetched.ok()) return false;
  if (absl::IsCancelled(fetched)) {
    Transition(i, SKIPPED);
    return true;
  }
  DecideOptions here = OptionsFor(i);
  here.ask_remotes = false;
  here.will_run = true;
  absl::StatusOr<Decision> decision = DecideNow(i, here, lock);
  if (!decision.ok()) {
    FailUndecided(i, decision.status());
    return true;
  }
  stage.decision = *std::move(decision);
  return false;
}

absl::Status PipelineRun::Fetch(int i, const std::vector<Digest>& trees, double seconds, bool shown,
                                std::unique_lock<std::mutex>& lock) {
  const std::string& name = pipeline_.stages[i].name;
  RemoteStore::FetchOptions options;
  options.at_most = std::max(kMinFetchTime, 2 * absl::Seconds(seconds));
  // When the run is stopped, what has not come is not waited for.
  std::atomic<bool> cancelled = false;
  options.cancelled = &cancelled;
  options.progress = [&](int64_t done, int64_t total, const std::string& cache) {
    if (stop_ > 0) cancelled = true;
    RunEvent reported;
    reported.mutable_stage_reported()->set_stage(name);
    Progress& progress = *reported.mutable_stage_reported()->mutable_event()->mutable_progress();
    progress.set_done(static_cast<double>(done));
    progress.set_total(static_cast<double>(total));
    progress.set_unit("bytes");
    progress.set_detail(cache.empty() ? "fetching" : absl::StrCat("from ", cache));
    std::lock_guard inner(mutex_);
    if (std::exchange(shown, false)) Transition(i, RUNNING);
    Emit(std::move(reported));
  };
  lock.unlock();
  const absl::StatusOr<FetchedBytes> fetched = store_.remotes->FetchTrees(trees, options);
  if (fetched.ok() && fetched->bytes > 0) NoteWritten(store_, stages_[i].decision);
  lock.lock();
  if (fetched.ok() && fetched->bytes >= kNotedBytes) {
    Note(absl::StrCat("stage \"", name, "\": fetched ", RateText(fetched->bytes, fetched->seconds), " from ",
                      fetched->cache));
  }
  return fetched.status();
}

// Waits while another executor makes the same. A chain is made by one at a time: the next goes on from its end.
bool PipelineRun::LeaveToOthers(int i, absl::optional<KeyLock::Held>& held, std::unique_lock<std::mutex>& lock) {
  Stage& stage = stages_[i];
  const Digest key = stage.decision.chain_key.value_or(stage.decision.key);
  held = key_lock_->Try(key);
  if (!held.has_value()) {
    Note(absl::StrCat("stage \"", pipeline_.stages[i].name, "\": another executor is at it; this one waits"));
    while (!held.has_value() && stop_ == 0) {
      lock.unlock();
      absl::SleepFor(kAskOthersEvery);
      lock.lock();
      held = key_lock_->Try(key);
    }
    if (!held.has_value()) return true;  // the run is stopped: not started
  }
  if (Forced(i)) return false;
  // It may have been made between the decision and now. What a chain's steps read may not have been here then.
  const absl::StatusOr<FoundEntry> found = store_.cache->Lookup(stage.decision.key, {.with_key = false});
  const bool made = found.ok() && found->state == EntryState::kComplete;
  if (!made && !stage.decision.chain_key.has_value()) return false;
  absl::StatusOr<Decision> decision = DecideNow(i, OptionsFor(i), lock);
  if (!decision.ok()) {
    FailUndecided(i, decision.status());
    return true;
  }
  stage.decision = *std::move(decision);
  if (stage.decision.state != EntryState::kComplete) return false;
  CompleteCached(i, lock);
  return true;
}

void PipelineRun::TakeCacheNotes() {
  if (store_.remotes == nullptr) return;
  for (std::string& note : store_.remotes->notes().Take()) Note(std::move(note));
}

// Results that are on their way to shared caches; an interruption leaves them here.
void PipelineRun::FinishUploads() {
  if (store_.uploads == nullptr) return;
  absl::Time reported_at = absl::Now();
  bool cancelled = false;
  std::unique_lock lock(mutex_);
  while (!store_.uploads->Wait(kLookAtInterruptsEvery)) {
    const Uploader::Progress progress = store_.uploads->progress();
    if (interrupts_ > 0 && !std::exchange(cancelled, true)) {
      store_.uploads->Cancel();
      Note(absl::StrCat(progress.results_left, " results were not sent to the shared cache; the next run sends them"));
    } else if (!cancelled && absl::Now() - reported_at > kReportUploadsEvery) {
      reported_at = absl::Now();
      Note(absl::StrCat("sending to the shared cache: ", RateText(progress.bytes_sent, progress.seconds), ", ",
                        progress.results_left, " results left"));
    }
    TakeCacheNotes();
    PassOnEvents(lock);
  }
  const Uploader::Progress progress = store_.uploads->progress();
  if (progress.results_sent > 0 && progress.bytes_sent >= kNotedBytes)
    Note(absl::StrCat("sent ", progress.results_sent,
                      " results to the shared cache: ", RateText(progress.bytes_sent, progress.seconds)));
  TakeCacheNotes();
}

}  // namespace millrace
