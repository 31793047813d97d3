#include "executor/backends/slurm.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "executor/backends/events_file.h"
#include "executor/backends/overwrite.h"
#include "executor/backends/slurm_clerk.h"
#include "executor/backends/slurm_node_files.h"
#include "executor/backends/slurm_node_program.h"
#include "google/protobuf/util/json_util.h"

namespace millrace {
namespace {

using Outcome = GangResult::Outcome;
using Phase = SlurmRecord::Phase;
using Wish = SlurmRecord::Wish;

// Between two looks for the result file and events: short for short stages.
constexpr absl::Duration kFirstLook = absl::Milliseconds(20), kLastLook = absl::Milliseconds(500);
// After a job has gone, for what it wrote to show on a shared file system.
constexpr absl::Duration kFilesLag = absl::Minutes(1);
// Slurm sends the signal before a limit up to a minute early.
constexpr double kSignalEarlySeconds = 75;

// NFS may remember for a while that a file is not there: opening its folder asks the server.
void Refresh(const std::string& folder) {
  if (const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) ::close(fd);
}

// "job 17 on mr2".
std::string Where(const SlurmRecord& record, absl::string_view node = "") {
  const std::string nodes = record.nodes.empty() ? std::string(node) : record.nodes;
  return absl::StrCat("job ", JobOf(record), nodes.empty() ? "" : absl::StrCat(" on ", nodes));
}

}  // namespace

class SlurmGang : public Gang {
 public:
  SlurmGang(SlurmClerk& clerk, std::shared_ptr<SlurmRecord> record, const GangSpec& spec)
      : clerk_(clerk), record_(std::move(record)), ranks_(spec.ranks) {
    for (int rank = 0; rank < spec.ranks; ++rank)
      events_.emplace_back(JoinPath(spec.work_folder, absl::StrCat("events.", rank)));
    // In the process before this one the gang may have been cancelled.
    cancelled_ = FileExists(CancelFile());
    limit_is_own_ = record_->request.signal_seconds == 0;
  }

  ~SlurmGang() override {
    if (!finished_) Kill();
    clerk_.Close(*record_);
  }

  absl::StatusOr<absl::optional<GangResult>> Wait(absl::Duration wait, const EventSink& sink) override {
    const absl::Time deadline = absl::Now() + wait;
    while (true) {
      if (absl::Now() >= look_at_) {
        look_after_ = std::min(look_after_ * 1.1, clerk_.Scaled(kLastLook));
        look_at_ = absl::Now() + look_after_;
        const bool quiet = !ReadEvents(sink, /*last=*/false);
        if (!quiet) look_after_ = clerk_.Scaled(kFirstLook);
        absl::StatusOr<absl::optional<GangResult>> result = Judge(sink);
        if (!result.ok() || result->has_value()) {
          finished_ = true;
          ReadEvents(sink, /*last=*/true);
          clerk_.Close(*record_);
          return result;
        }
      }
      const absl::Time now = absl::Now();
      if (now >= deadline) return absl::optional<GangResult>();
      absl::SleepFor(std::min(deadline, look_at_) - now);
    }
  }

  void Cancel() override { Want(Wish::kCancel); }
  void Kill() override { Want(Wish::kKill); }

 private:
  std::string CancelFile() const { return JoinPath(record_->work_folder, kSlurmCancelFile); }

  void Want(Wish wish) {
    cancelled_ = true;
    // Before the signal: the program on the node looks for it then.
    WriteFileAtomic(CancelFile(), "").IgnoreError();
    clerk_.Cancel(record_, wish);
  }

  bool ReadEvents(const EventSink& sink, bool last) {
    bool any = false;
    if (!in_queue_) return false;
    for (size_t rank = 0; rank < events_.size(); ++rank) {
      events_[rank].Read(
          [&](const StageEvent& event) {
            any = true;
            sink(static_cast<int>(rank), event);
          },
          last);
    }
    return any;
  }

  // How it ended, as far as that is known.
  absl::StatusOr<absl::optional<GangResult>> Judge(const EventSink& sink) {
    const SlurmRecord now = clerk_.Look(*record_);
    if (!now.warning.empty()) {
      StageEvent event;
      event.set_warning(now.warning);
      sink(0, event);
    }
    GangResult result;
    result.rank.resize(ranks_);
    if (now.phase == Phase::kRefused) {
      result.outcome = Outcome::kNotStarted;
      result.message = absl::StrCat("Slurm refuses the job\n  why: ", now.message);
      return absl::make_optional(std::move(result));
    }
    if (now.phase == Phase::kWithdrawn) {
      result.outcome = Outcome::kCancelled;
      return absl::make_optional(std::move(result));
    }
    if (now.phase != Phase::kInQueue && now.phase != Phase::kGone) return absl::optional<GangResult>();
    in_queue_ = true;
    Refresh(record_->work_folder);
    const absl::StatusOr<std::string> text = ReadFile(JoinPath(record_->work_folder, kSlurmResultFile));
    NodeReport report;
    // A node that was given up may still write into a folder that is used again.
    if (text.ok() && NodeReport::Parse(*text, report) && report.job == JobOf(now))
      return JudgeReport(report, now, std::move(result));
    if (now.phase == Phase::kGone) return JudgeGone(now, std::move(result));
    return absl::optional<GangResult>();
  }

  absl::StatusOr<absl::optional<GangResult>> JudgeReport(const NodeReport& report, const SlurmRecord& now,
                                                         GangResult result) {
    const std::string where = Where(now, report.node);
    result.seconds = report.seconds;
    result.first_failed_rank = report.first_failed_rank;
    for (int rank = 0; rank < ranks_ && rank < static_cast<int>(report.rank.size()); ++rank) {
      const NodeReport::Rank& from = report.rank[rank];
      result.rank[rank] = {from.exit_status, from.signal, from.peak_memory_bytes, from.cpu_seconds};
    }
    if (report.requeued) return Preempted(absl::StrCat(where, " was put back into the queue"), std::move(result));
    if (!report.not_started.empty()) {
      result.outcome = Outcome::kNotStarted;
      result.message = report.not_started;
      return absl::make_optional(std::move(result));
    }
    if (report.timed_out) {
      result.outcome = Outcome::kTimedOut;
      return absl::make_optional(std::move(result));
    }
    if (cancelled_.load() && report.terminated) {
      result.outcome = Outcome::kCancelled;
      return absl::make_optional(std::move(result));
    }
    if (report.first_failed_rank < 0) return absl::make_optional(std::move(result));

    const NodeReport::Rank& failed = report.rank[report.first_failed_rank];
    const double limit = 60.0 * static_cast<double>(now.request.minutes);
    if (report.terminated && now.request.signal_seconds > 0 && limit > 0 &&
        report.terminated_after_seconds >=
            limit - static_cast<double>(now.request.signal_seconds) - kSignalEarlySeconds)
      return TimeSlice(where, now, std::move(result));
    // Why SIGTERM came, or SIGKILL, or ranks went without a word, Slurm has to say.
    const bool wants_verdict = report.terminated || !report.lost.empty() ||
                               ((failed.signal == SIGKILL || failed.signal == SIGTERM) && !failed.killed);
    if (!wants_verdict) return absl::make_optional(std::move(result));
    if (now.phase != Phase::kGone) {
      clerk_.WantVerdict(*record_);
      return absl::optional<GangResult>();
    }
    switch (now.state) {
      case SlurmState::kPreempted:
        return Preempted(PreemptedText(now), std::move(result));
      case SlurmState::kNodeFail:
        return NodeFailed(now);
      case SlurmState::kCancelled:
        return CancelledByOthers(now, std::move(result));
      case SlurmState::kOutOfMemory:
        result.message = OutOfMemoryText(now);
        break;
      case SlurmState::kTimeout:
        return TimeSlice(where, now, std::move(result));
      default:
        // Nothing else sends SIGTERM to a job that then ends by itself.
        if (report.terminated) return TimeSlice(where, now, std::move(result));
        result.message = report.lost;
    }
    return absl::make_optional(std::move(result));
  }

  // The job has gone and no file says how its ranks ended.
  absl::StatusOr<absl::optional<GangResult>> JudgeGone(const SlurmRecord& now, GangResult result) {
    const std::string where = Where(now);
    for (RankResult& rank : result.rank) rank.signal = SIGKILL;
    result.first_failed_rank = 0;
    if (cancelled_.load()) {
      result.outcome = Outcome::kCancelled;
      return absl::make_optional(std::move(result));
    }
    switch (now.state) {
      case SlurmState::kPreempted:
        return Preempted(PreemptedText(now), std::move(result));
      case SlurmState::kNodeFail:
        return NodeFailed(now);
      case SlurmState::kCancelled:
        return CancelledByOthers(now, std::move(result));
      case SlurmState::kTimeout:
        if (!limit_is_own_) return TimeSlice(where, now, std::move(result));
        result.outcome = Outcome::kTimedOut;
        return absl::make_optional(std::move(result));
      case SlurmState::kOutOfMemory:
        result.message = OutOfMemoryText(now);
        return absl::make_optional(std::move(result));
      default:
        break;
    }
    // The file may be on its way.
    if (absl::Now() - now.gone_at < clerk_.Scaled(kFilesLag)) return absl::optional<GangResult>();
    const std::string said = JobOutput(now);
    if (!now.nodes.empty() && now.state == SlurmState::kFailed) clerk_.Avoid(now.nodes);
    return absl::UnavailableError(absl::StrCat(
        where,
        now.state == SlurmState::kUnknown ? " is not known to Slurm any more" : absl::StrCat(" ended ", now.word),
        ", and nothing says how its ranks ended",
        said.empty() ? "\n  why: the node may not see the shared folder" : absl::StrCat("\n  why: ", said),
        now.nodes.empty() ? "" : absl::StrCat("\n  fix: look at node ", now.nodes, "; other jobs stay away from it")));
  }

  // The last lines of what the batch script and srun said.
  std::string JobOutput(const SlurmRecord& now) const {
    const absl::StatusOr<std::string> text = ReadFile(JoinPath(now.batch->folder, "job.out"));
    if (!text.ok()) return "";
    absl::string_view tail = absl::StripTrailingAsciiWhitespace(*text);
    if (const size_t newline = tail.rfind('\n'); newline != tail.npos) tail.remove_prefix(newline + 1);
    return std::string(tail.substr(0, 300));
  }

  absl::StatusOr<absl::optional<GangResult>> Preempted(std::string message, GangResult result) {
    result.outcome = Outcome::kPreempted;
    result.message = std::move(message);
    return absl::make_optional(std::move(result));
  }

  static std::string PreemptedText(const SlurmRecord& now) {
    return absl::StrCat(Where(now), now.requeued ? " was put back into the queue" : " was preempted");
  }

  absl::StatusOr<absl::optional<GangResult>> TimeSlice(const std::string& where, const SlurmRecord& now,
                                                       GangResult result) {
    result.outcome = Outcome::kTimeSlice;
    result.message =
        absl::StrCat(where, " reached the time limit of ",
                     now.request.minutes > 0
                         ? absl::StrCat("one job, ", FormatSeconds(60.0 * static_cast<double>(now.request.minutes)))
                         : "its partition");
    return absl::make_optional(std::move(result));
  }

  absl::StatusOr<absl::optional<GangResult>> NodeFailed(const SlurmRecord& now) {
    return absl::UnavailableError(absl::StrCat(Where(now), " was lost\n  why: a node does not answer (", now.word,
                                               ")\n  fix: run again: what is whole is kept"));
  }

  absl::StatusOr<absl::optional<GangResult>> CancelledByOthers(const SlurmRecord& now, GangResult result) {
    result.outcome = Outcome::kCancelled;
    const size_t by = now.word.find(" by ");
    result.message =
        absl::StrCat(Where(now), " was cancelled",
                     by == std::string::npos ? ", not by us" : absl::StrCat(" by user", now.word.substr(by + 3)));
    return absl::make_optional(std::move(result));
  }

  static std::string OutOfMemoryText(const SlurmRecord& now) {
    return absl::StrCat(
        Where(now), " ran out of memory (OUT_OF_MEMORY)",
        now.request.memory_mib > 0 ? absl::StrCat("; it had asked for ", now.request.memory_mib, " MiB a node") : "",
        "\n  fix: raise execution.memory");
  }

  SlurmClerk& clerk_;
  const std::shared_ptr<SlurmRecord> record_;
  const int ranks_;
  std::vector<EventsFile> events_;
  std::atomic<bool> cancelled_ = false;
  bool limit_is_own_ = false;
  bool in_queue_ = false;  // it may have written something
  bool finished_ = false;
  absl::Duration look_after_ = kFirstLook;
  absl::Time look_at_ = absl::InfinitePast();
};

SlurmBackend::SlurmBackend(std::unique_ptr<SlurmClerk> clerk) : clerk_(std::move(clerk)) {}
SlurmBackend::~SlurmBackend() = default;

absl::StatusOr<std::unique_ptr<SlurmBackend>> SlurmBackend::Create(SlurmOptions options) {
  const absl::string_view bytes = SlurmNodeProgram();
  const std::string folder = JoinPath(options.folder, "bin");
  const std::string program = JoinPath(folder, absl::StrCat("slurm_node-", Sha256Hex(bytes).substr(0, 16)));
  RETURN_IF_ERROR(CreateDirectories(folder));
  if (!FileExists(program)) {
    const std::string aside = absl::StrCat(program, ".", ::getpid());
    RETURN_IF_ERROR(WriteFile(aside, bytes));
    if (::chmod(aside.c_str(), 0755) != 0) return ErrnoError(errno, "make executable", aside);
    RETURN_IF_ERROR(RenameFile(aside, program));
  }
  return std::unique_ptr<SlurmBackend>(new SlurmBackend(std::make_unique<SlurmClerk>(std::move(options), program)));
}

std::map<std::string, int> SlurmBackend::calls() const { return clerk_->calls(); }

namespace {

absl::StatusOr<std::shared_ptr<SlurmRecord>> MakeRecord(const GangSpec& spec, const Cluster& cluster) {
  auto record = std::make_shared<SlurmRecord>();
  record->stage = spec.stage;
  record->id = spec.id;
  record->work_folder = spec.work_folder;
  record->grace = spec.grace;
  ASSIGN_OR_RETURN(record->request, SlurmRequestFor(spec, cluster));
  return record;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Gang>> SlurmBackend::Submit(const GangSpec& spec) {
  const Cluster& cluster = clerk_->options().cluster;
  ASSIGN_OR_RETURN(std::shared_ptr<SlurmRecord> record, MakeRecord(spec, cluster));
  GangOrder order;
  order.work_folder = spec.work_folder;
  order.ranks = spec.ranks;
  if (spec.time_limit != absl::InfiniteDuration()) order.time_limit_seconds = absl::ToDoubleSeconds(spec.time_limit);
  order.grace_seconds = absl::ToDoubleSeconds(spec.grace);
  order.slice_grace_seconds = std::max(order.grace_seconds, static_cast<double>(record->request.signal_seconds) - 5);
  order.memory_bytes = spec.memory_bytes;
  order.torchrun_variables = spec.torchrun_variables;
  order.gpus = spec.gpus_per_rank > 0;
  order.log_path = spec.log_path;
  order.argument = spec.argument;
  order.environment = spec.environment;
  google::protobuf::util::JsonPrintOptions json;
  json.preserve_proto_field_names = true;
  StageGang gang = spec.gang;
  gang.clear_rank();
  gang.clear_world_size();
  gang.clear_local_rank();
  gang.clear_local_world_size();
  if (!google::protobuf::util::MessageToJsonString(gang, &order.gang_json, json).ok())
    return absl::InternalError("a gang has no JSON");
  for (const auto* texts : {&spec.argument, &spec.environment}) {
    size_t size = 0;
    for (const std::string& text : *texts) size += text.size() + 1;
    // What Linux takes in one string, and in all.
    const bool long_one =
        std::any_of(texts->begin(), texts->end(), [](const auto& t) { return t.size() >= 128 << 10; });
    if (long_one || size > 1 << 20) {
      return absl::InvalidArgumentError(absl::StrCat("stage \"", spec.stage, "\": its command and parameters are ",
                                                     size,
                                                     " bytes, more than a process can be started with\n"
                                                     "  fix: put the long ones into a file and make it an input"));
    }
  }
  // Nothing of an earlier gang's in this folder may speak for this one.
  for (const char* name : {kSlurmResultFile, kSlurmCancelFile}) {
    const std::string path = JoinPath(spec.work_folder, name);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "delete", path);
  }
  RETURN_IF_ERROR(OverwriteFile(JoinPath(spec.work_folder, kSlurmSpecFile), order.Serialize()));
  auto handle = std::make_unique<SlurmGang>(*clerk_, record, spec);
  clerk_->Submit(std::move(record));
  return handle;
}

absl::StatusOr<std::unique_ptr<Gang>> SlurmBackend::Adopt(const GangSpec& spec) {
  ASSIGN_OR_RETURN(std::shared_ptr<SlurmRecord> record, MakeRecord(spec, clerk_->options().cluster));
  ASSIGN_OR_RETURN(const bool found, clerk_->Adopt(record));
  if (!found) return nullptr;
  auto gang = std::make_unique<SlurmGang>(*clerk_, std::move(record), spec);
  return gang;
}

}  // namespace millrace
