// The order that makes a kill at any moment harmless: outputs are hashed and moved into the storage, then the entry is
// appended; until then nothing names them. A train stage's checkpoints are published one by one while it runs.
#include "executor/engine/stage_attempt.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "executor/backends/overwrite.h"
#include "executor/engine/event_collector.h"
#include "executor/engine/job_record.pb.h"
#include "executor/engine/machine.h"
#include "executor/engine/stage_environment.h"
#include "executor/engine/train_data.h"
#include "executor/graph/action_key.h"
#include "google/protobuf/util/json_util.h"
#include "pipelines/schema/train.pb.h"

namespace millrace {
namespace {

// Of the stage protocol (pipelines/protocol/stage.h, whose class Stage is not the schema's).
constexpr int kStageBadRequest = 2;
constexpr int kStageGateFailed = 4;

constexpr absl::Duration kWait = absl::Milliseconds(50);
constexpr absl::Duration kShowLogsAfter = absl::Milliseconds(200);
constexpr int kTailLines = 20;
constexpr int64_t kTailBytes = 16 << 10;
// A trainer writes a checkpoint when it is asked to end.
constexpr absl::Duration kTrainGrace = absl::Seconds(60);
constexpr absl::Duration kGrace = absl::Seconds(10);
constexpr int64_t kFullDiskBytes = 1 << 20;  // left
constexpr int64_t kMaxRecordedRates = 100'000;

std::vector<std::string> TailOf(const std::string& path) {
  const absl::StatusOr<std::string> log = ReadFile(path);
  if (!log.ok()) return {};
  absl::string_view text = *log;
  if (static_cast<int64_t>(text.size()) > kTailBytes) text.remove_prefix(text.size() - kTailBytes);
  while (absl::EndsWith(text, "\n")) text.remove_suffix(1);
  if (text.empty()) return {};
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() > kTailLines) lines.erase(lines.begin(), lines.end() - kTailLines);
  return lines;
}

OutputTree Describe(const std::string& name, const PublishedTree& published) {
  OutputTree output;
  output.set_name(name);
  output.set_digest(published.digest.ToString());
  output.set_files(static_cast<int64_t>(published.tree.files.size()));
  output.set_size_bytes(published.tree.size_bytes());
  return output;
}

class Attempt {
 public:
  Attempt(const RunContext& context, int stage_index, const Decision& decision,
          const std::vector<const ActionEntry*>& producer, const Placement& placement, int attempt,
          const ReportSink& report)
      : context_(context),
        store_(*context.store),
        stage_(context.pipeline->stages[stage_index]),
        decision_(decision),
        producer_(producer),
        placement_(placement),
        attempt_(attempt),
        report_(report),
        hashing_threads_(std::max(1, placement.cpus_per_rank * stage_.ranks)) {}

  AttemptResult Run() {
    absl::Status status = Prepare();
    if (status.ok()) status = RunGang();
    if (result_.outcome == AttemptResult::Outcome::kFailed && result_.status.ok() && status.ok()) status = Publish();
    if (job_.has_value()) {
      RemoveTree(JobFolder()).IgnoreError();
    } else if (!work_.empty()) {
      context_.work_folders->GiveBack(work_);
    }
    if (!status.ok() && result_.status.ok()) Fail(status);
    return std::move(result_);
  }

 private:
  std::string LogPath(int rank) const {
    return absl::StrCat("stages/", stage_.name, "/rank", rank, ".attempt", attempt_, ".log");
  }

  std::string WorkLogPath(int rank) const { return absl::StrCat(work_, "/log.", rank); }

  // Ranks log to files of the working folder. Those of a stage that runs for long, or that said something, appear in
  // the run's folder; a quick and silent stage costs no files there.
  absl::Status KeepLogs(bool only_written) {
    for (int rank = 0; rank < stage_.ranks; ++rank) {
      const std::string log = WorkLogPath(rank);
      struct stat s;
      if (::stat(log.c_str(), &s) != 0 || (only_written && s.st_size == 0)) continue;
      const std::string kept = JoinPath(context_.run_folder, LogPath(rank));
      if (::link(log.c_str(), kept.c_str()) == 0 || errno == EEXIST) continue;
      RETURN_IF_ERROR(CreateDirectories(kept.substr(0, kept.rfind('/'))));
      if (::link(log.c_str(), kept.c_str()) != 0) return ErrnoError(errno, "link", kept);
    }
    return absl::OkStatus();
  }

  AttemptResult Fail(absl::Status status) {
    result_.machine_failed |= absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
    if (absl::IsResourceExhausted(status)) {
      status = absl::ResourceExhaustedError(
          absl::StrCat(status.message(), "\n  fix: free some disk space, or `millrace gc`"));
    }
    if (absl::IsAborted(status)) result_.outcome = AttemptResult::Outcome::kInputChanged;
    result_.retry |= absl::IsUnavailable(status);
    result_.status = std::move(status);
    return result_;
  }

  // Where a gang that outlives the executor is found again.
  std::string JobFolder() const { return store_.home.Job(decision_.key.Hex()); }

  // The gang of an executor that is gone, if the backend still has it; else nothing is left of it.
  absl::Status Adopt() {
    JobRecord record;
    const absl::StatusOr<std::string> bytes = ReadFile(JobFolder() + "/record");
    if (bytes.ok() && record.ParseFromString(*bytes)) {
      job_ = record;
      work_ = JobFolder() + "/work";
      const absl::StatusOr<GangSpec> spec = MakeSpec();
      absl::StatusOr<std::unique_ptr<Gang>> found = spec.ok() ? context_.backend->Adopt(*spec) : spec.status();
      if (found.ok() && *found != nullptr) {
        adopted_ = *std::move(found);
        return absl::OkStatus();
      }
      job_.reset();
      work_.clear();
      RETURN_IF_ERROR(found.status());
    }
    return RemoveTree(JobFolder());
  }

  absl::Status TakeWorkFolder() {
    std::vector<std::string> output_names;
    for (const OutputSpec& output : stage_.outputs) output_names.push_back(output.name);
    if (!context_.backend->gangs_outlive_executor()) {
      ASSIGN_OR_RETURN(work_, context_.work_folders->Take(output_names));
      return absl::OkStatus();
    }
    JobRecord& record = job_.emplace();
    // The key says what it is, the rest that it is this try.
    record.set_id(absl::StrCat(decision_.key.Hex().substr(0, 16), "-", context_.run_id, "-", attempt_));
    record.set_resume_step(decision_.chain.resume_step);
    if (decision_.chain.resume_step > 0) *record.mutable_resume_state() = decision_.chain.resume_state;
    record.set_submitted_unix_micros(absl::ToUnixMicros(absl::Now()));
    work_ = JobFolder() + "/work";
    RETURN_IF_ERROR(CreateDirectories(work_ + "/in"));
    for (const std::string& name : output_names) RETURN_IF_ERROR(CreateDirectories(absl::StrCat(work_, "/out/", name)));
    return absl::OkStatus();
  }

  absl::Status Prepare() {
    if (context_.backend->gangs_outlive_executor()) RETURN_IF_ERROR(Adopt());
    if (adopted_ == nullptr) RETURN_IF_ERROR(TakeWorkFolder());
    for (size_t e = 0; e < stage_.edges.size(); ++e) RETURN_IF_ERROR(LayOut(stage_.edges[e], *producer_[e]));
    if (stage_.train_steps.has_value()) data_ = TrainData::Of(*store_.cas, stage_, producer_);
    if (adopted_ != nullptr) return absl::OkStatus();
    for (const ExternalInput& input : stage_.external_inputs)
      RETURN_IF_ERROR(LayOutInput(input, absl::StrCat(work_, "/in/", input.name), stage_.kind == "custom"));
    if (decision_.chain.resume_step > 0) {
      ASSIGN_OR_RETURN(const Digest state, Digest::Parse(decision_.chain.resume_state.digest()));
      ASSIGN_OR_RETURN(Tree tree, store_.cas->GetTree(state));
      RETURN_IF_ERROR(store_.cas->Materialize(tree, work_ + "/in/resume", MaterializeMode::kHardLink));
      resume_ = std::move(tree);
    }
    if (stage_.uses_floating_point) RETURN_IF_ERROR(CheckNumerics(context_.pipeline->numerics));
    return absl::OkStatus();
  }

  absl::Status LayOut(const StageEdge& edge, const ActionEntry& producer) {
    // Only programs of ours are known to leave their inputs alone: root may write to read-only files.
    const MaterializeMode mode = stage_.kind == "custom" ? MaterializeMode::kCopy : MaterializeMode::kHardLink;
    ASSIGN_OR_RETURN(const OutputTree* output, FindOutput(producer, edge.output));
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(output->digest()));
    absl::StatusOr<Tree> tree = store_.cas->GetTree(digest);
    absl::Status status = tree.status();
    if (status.ok() && adopted_ == nullptr)
      status = store_.cas->Materialize(*tree, absl::StrCat(work_, "/in/", edge.name), mode);
    if (absl::IsNotFound(status) || absl::IsDataLoss(status)) {
      result_.outcome = AttemptResult::Outcome::kInputGone;
      result_.gone_producer = edge.producer;
      result_.status = status;
    }
    if (status.ok()) inputs_.push_back(*std::move(tree));
    return status;
  }

  absl::Duration TimeLimit() const {
    double seconds = 0;
    return absl::SimpleAtod(stage_.execution.time_limit(), &seconds) && seconds > 0 ? absl::Seconds(seconds)
                                                                                    : absl::InfiniteDuration();
  }

  // What other machines must be sent.
  void AddStaged(GangSpec& spec, const std::string& runfiles) {
    for (size_t e = 0; e < inputs_.size(); ++e)
      spec.inputs.push_back({absl::StrCat("in/", stage_.edges[e].name), inputs_[e]});
    for (const ExternalInput& input : stage_.external_inputs)
      spec.inputs.push_back({absl::StrCat("in/", input.name), decision_.external.at(input.name).tree});
    if (resume_.has_value()) spec.inputs.push_back({"in/resume", *resume_});
    for (const OutputSpec& output : stage_.outputs) spec.outputs.push_back(absl::StrCat("out/", output.name));
    if (const Tree* tool = stage_.tool.empty() ? nullptr : store_.tools->TreeOf(stage_.tool); tool != nullptr)
      spec.tool = StagedFolder{runfiles, *tool};
  }

  absl::StatusOr<GangSpec> MakeSpec() {
    const StageRequest request = MakeRequest(*context_.pipeline, stage_);
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(request, &json, options).ok())
      return absl::InternalError("a request has no JSON");
    RETURN_IF_ERROR(OverwriteFile(work_ + "/request.json", json));

    GangSpec spec;
    spec.stage = stage_.name;
    if (job_.has_value()) spec.id = job_->id();
    spec.work_folder = work_;
    spec.ranks = stage_.ranks;
    spec.pool = placement_.pool;
    spec.hosts = placement_.hosts;
    spec.nodes = placement_.nodes;
    spec.cpus_per_rank = placement_.cpus_per_rank;
    spec.gpus_per_rank = placement_.gpus_per_rank;
    std::string runfiles;
    if (!stage_.tool.empty()) {
      const Cas::Hold hold(*store_.cas);
      ASSIGN_OR_RETURN(const ToolStore::Installed installed, store_.tools->Install(stage_.tool));
      spec.argument = {installed.executable};
      runfiles = installed.root;
    } else {
      spec.argument = stage_.command;
      if (spec.argument.empty()) return absl::FailedPreconditionError("the command is empty");
      spec.argument[0] = FindProgram(stage_.command[0]);
      if (spec.argument[0].empty()) {
        return absl::FailedPreconditionError(absl::StrCat("no program \"", stage_.command[0], "\" in ", kStagePath,
                                                          "\n  fix: install it, or make it a `tool`"));
      }
    }
    const int threads = stage_.threads_per_rank > 0 ? stage_.threads_per_rank : placement_.cpus_per_rank;
    spec.environment = StageEnvironment(*context_.pipeline, stage_, request, work_, runfiles, threads);
    spec.gang.set_run_id(context_.run_id);
    spec.gang.set_attempt(attempt_);
    spec.gang.set_threads(threads);
    if (double seconds; absl::SimpleAtod(context_.pipeline->network.collective_timeout(), &seconds) && seconds > 0)
      spec.gang.set_collective_timeout_seconds(seconds);
    if (const int64_t step = ResumeStep(); step > 0) {
      spec.gang.set_resume_path("in/resume");
      spec.gang.set_resume_step(step);
    }
    spec.torchrun_variables = stage_.ranks > 1 || stage_.kind == "train";
    spec.grace = stage_.kind == "train" ? kTrainGrace : kGrace;
    spec.time_limit = TimeLimit();
    if (int64_t bytes; absl::SimpleAtoi(stage_.execution.memory(), &bytes)) spec.memory_bytes = bytes;
    for (int rank = 0; rank < stage_.ranks; ++rank) spec.log_path.push_back(WorkLogPath(rank));
    if (!spec.hosts.empty()) AddStaged(spec, runfiles);
    return spec;
  }

  // An adopted gang began where its record says, whatever has been recorded of the chain since.
  int64_t ResumeStep() const { return job_.has_value() ? job_->resume_step() : decision_.chain.resume_step; }

  absl::StatusOr<std::unique_ptr<Gang>> StartGang() {
    adopted_here_ = adopted_ != nullptr;
    if (adopted_here_) return std::move(adopted_);
    ASSIGN_OR_RETURN(const GangSpec spec, MakeSpec());
    // The record first: a gang without one would be started twice.
    if (job_.has_value()) RETURN_IF_ERROR(WriteFileAtomic(JobFolder() + "/record", job_->SerializeAsString()));
    return context_.backend->Submit(spec);
  }

  absl::Status RunGang() {
    step_ = ResumeStep();
    state_ = job_.has_value() ? job_->resume_state() : decision_.chain.resume_state;
    segment_started_ = absl::Now();
    collector_.AddCurves(decision_.chain.curves);
    ASSIGN_OR_RETURN(const std::unique_ptr<Gang> gang, StartGang());
    const auto sink = [this](int rank, const StageEvent& event) { OnEvent(rank, event); };
    const absl::Time started = absl::Now();
    bool logs_shown = false;
    int stopped = 0;
    while (true) {
      ASSIGN_OR_RETURN(absl::optional<GangResult> ended, gang->Wait(kWait, sink));
      if (ended.has_value()) {
        gang_ = *std::move(ended);
        break;
      }
      if (!logs_shown && absl::Now() - started > kShowLogsAfter) {
        logs_shown = true;
        RETURN_IF_ERROR(KeepLogs(/*only_written=*/false));
      }
      const int stop = context_.stop->load(std::memory_order_relaxed);
      if (stop > stopped) stop > 1 ? gang->Kill() : gang->Cancel();
      stopped = std::max(stop, stopped);
      // A state that contradicts a recorded one, or a full disk: nothing good can come of going on.
      if (!chain_failure_.ok()) gang->Kill();
    }
    RETURN_IF_ERROR(KeepLogs(/*only_written=*/true));
    RETURN_IF_ERROR(chain_failure_);
    if (stopped > 0) {
      result_.outcome = AttemptResult::Outcome::kStopped;
      result_.status = absl::CancelledError("interrupted");
      return absl::OkStatus();
    }
    return Judge();
  }

  // What became of the gang; OK if its outputs are whole.
  absl::Status Judge() {
    const int rank = std::max(0, gang_.first_failed_rank);
    result_.log_path = LogPath(rank);
    const std::string where = stage_.ranks > 1 ? absl::StrCat("rank ", rank, " of ", stage_.ranks, " ") : "";
    const std::string after = absl::StrCat(" after ", FormatSeconds(gang_.seconds));
    switch (gang_.outcome) {
      case GangResult::Outcome::kNotStarted:
        return absl::FailedPreconditionError(gang_.message);
      case GangResult::Outcome::kTimedOut:
        ReadTail();
        result_.retry = true;
        return absl::DeadlineExceededError(absl::StrCat("reached its time limit of ",
                                                        FormatSeconds(absl::ToDoubleSeconds(TimeLimit())),
                                                        "\n  fix: raise execution.time_limit"));
      case GangResult::Outcome::kPreempted:
      case GangResult::Outcome::kTimeSlice:
        return absl::UnavailableError(gang_.message);
      case GangResult::Outcome::kCancelled:
        if (!gang_.message.empty()) return absl::FailedPreconditionError(gang_.message);
        break;
      case GangResult::Outcome::kEnded:
        break;
    }
    if (gang_.first_failed_rank < 0) return absl::OkStatus();
    const RankResult& failed = gang_.rank[rank];
    ReadTail();
    if (failed.signal != 0) {
      result_.retry = true;
      return absl::InternalError(
          absl::StrCat(where, "was ended by signal ", failed.signal, " (", ::strsignal(failed.signal), ")", after,
                       ", peak memory ", FormatBytes(static_cast<double>(failed.peak_memory_bytes)),
                       !gang_.message.empty()     ? absl::StrCat("\n  why: ", gang_.message)
                       : failed.signal == SIGKILL ? "\n  why: the system does that when memory runs out\n  fix: fewer "
                                                    "stages at a time (--jobs), or a smaller one"
                                                  : ""));
    }
    if (failed.exit_status == kStageGateFailed && stage_.kind == "evaluate") {
      gate_failed_ = true;
      return absl::OkStatus();
    }
    if (DiskIsFull()) {
      return absl::ResourceExhaustedError(
          absl::StrCat(where, "exited with status ", failed.exit_status, after, "\n  why: ", ::strerror(ENOSPC)));
    }
    if (failed.exit_status == kStageBadRequest)
      return absl::InvalidArgumentError(absl::StrCat(where, "refused what it was given (exit status 2)", after));
    result_.retry = true;
    return absl::InternalError(absl::StrCat(where, "exited with status ", failed.exit_status, after));
  }

  // Tools say so in many ways, or not at all.
  bool DiskIsFull() const {
    for (const std::string& line : result_.log_tail) {
      if (absl::StrContains(line, ::strerror(ENOSPC))) return true;
    }
    struct statvfs s;
    return ::statvfs(work_.c_str(), &s) == 0 && static_cast<int64_t>(s.f_bavail * s.f_frsize) < kFullDiskBytes;
  }

  void ReadTail() { result_.log_tail = TailOf(JoinPath(context_.run_folder, result_.log_path)); }

  void OnEvent(int rank, const StageEvent& event) {
    collector_.Add(event);
    if (!event.has_checkpoint_published()) {
      report_(rank, event, nullptr);
      return;
    }
    if (!chain_failure_.ok()) return;
    SegmentEntry segment;
    chain_failure_ = TakeCheckpoint(event.checkpoint_published(), segment);
    if (chain_failure_.ok()) report_(rank, event, segment.has_state() ? &segment : nullptr);
  }

  // A checkpoint that the executor before this one took.
  absl::Status FollowRecorded(int64_t step) {
    ASSIGN_OR_RETURN(const std::vector<SegmentEntry> segments, store_.cache->Segments(*decision_.chain_key));
    for (const SegmentEntry& segment : segments) {
      if (segment.parent() != state_.digest() || segment.first() != step_ || segment.last() != step) continue;
      step_ = step;
      state_ = segment.state();
      segment_started_ = absl::Now();
      return absl::OkStatus();
    }
    return absl::UnavailableError(absl::StrCat("the checkpoint of step ", step, " is gone, and nobody has taken it"));
  }

  // Moves a published checkpoint into the storage and records the segment that led to it.
  absl::Status TakeCheckpoint(const CheckpointPublished& checkpoint, SegmentEntry& segment) {
    if (!decision_.chain_key.has_value()) return absl::OkStatus();
    const std::string& path = checkpoint.path();
    if (!absl::StartsWith(path, "out/") || absl::StrContains(path, "..")) {
      return absl::InvalidArgumentError(
          absl::StrCat("a checkpoint was published at \"", path, "\"\n  why: it must be below out/"));
    }
    const std::string folder = JoinPath(work_, path);
    if (checkpoint.step() <= step_) return RemoveTree(folder);
    if (adopted_here_ && !IsDirectory(folder)) return FollowRecorded(checkpoint.step());
    if (checkpoint.step() > stage_.train_steps->total_steps) {
      return absl::InvalidArgumentError(absl::StrCat("a checkpoint was published at step ", checkpoint.step(), " of ",
                                                     stage_.train_steps->total_steps));
    }
    const Cas::Hold hold(*store_.cas);
    ASSIGN_OR_RETURN(const PublishedTree published, store_.cas->PutTree(folder, hashing_threads_));
    segment.set_parent(state_.digest());
    segment.set_first(step_);
    segment.set_last(checkpoint.step());
    const Sha256Bytes steps = StepsDigest(stage_, segment.first(), segment.last());
    segment.set_steps_digest(std::string(steps.begin(), steps.end()));
    data_.Describe(segment);
    *segment.mutable_state() = Describe("checkpoint", published);
    *segment.mutable_curve() = collector_.CurvesBetween(segment.first(), segment.last());
    segment.set_duration_seconds(absl::ToDoubleSeconds(absl::Now() - segment_started_));
    segment.set_run_id(context_.run_id);
    const auto& checkpointing = static_cast<const Train&>(*stage_.parameters).checkpoint();
    segment.set_keep_last(checkpointing.keep_last());
    if (checkpointing.has_keep_every_steps()) segment.set_keep_every_steps(checkpointing.keep_every_steps());
    if (segment.last() - segment.first() <= kMaxRecordedRates) {
      for (int64_t step = segment.first(); step < segment.last(); ++step)
        segment.add_learning_rate(stage_.train_steps->learning_rate[step]);
    }
    RETURN_IF_ERROR(store_.cache->PutSegment(*decision_.chain_key, segment, stage_.name));
    if (store_.uploads != nullptr) store_.uploads->AddChain(*decision_.chain_key);
    step_ = segment.last();
    state_ = segment.state();
    segment_started_ = absl::Now();
    return RemoveTree(folder);
  }

  absl::Status Publish() {
    const Cas::Hold hold(*store_.cas);
    for (const ExternalInput& input : stage_.external_inputs)
      RETURN_IF_ERROR(CheckUnchanged(input, decision_.external.at(input.name)));
    ActionEntry& entry = result_.entry;
    const auto known = [this] {
      KnownInodes inodes;
      for (const Tree& tree : inputs_) store_.cas->AddKnownInodes(tree, inodes);
      return inodes;
    };
    const bool is_chain = decision_.chain_key.has_value();
    for (const OutputSpec& spec : stage_.outputs) {
      if (is_chain && spec.artifact == CHECKPOINT) {
        RETURN_IF_ERROR(CheckEndOfChain());
        *entry.add_output() = state_;
        entry.mutable_output(entry.output_size() - 1)->set_name(spec.name);
        continue;
      }
      const absl::StatusOr<PublishedTree> published =
          store_.cas->PutTree(absl::StrCat(work_, "/out/", spec.name), hashing_threads_, known);
      if (absl::IsNotFound(published.status())) {
        return absl::InvalidArgumentError(
            absl::StrCat("removed its output folder out/", spec.name, "\n  why: what it leaves there is the result"));
      }
      RETURN_IF_ERROR(published.status());
      *entry.add_output() = Describe(spec.name, *published);
    }
    collector_.Fill(entry);
    if (is_chain) AddFinalLoss(entry);
    *entry.mutable_key() = decision_.key_record;
    entry.set_duration_seconds(gang_.seconds + decision_.chain.seconds);
    int64_t peak_memory_bytes = 0;
    double cpu_seconds = 0;
    for (const RankResult& rank : gang_.rank) {
      peak_memory_bytes += rank.peak_memory_bytes;
      cpu_seconds += rank.cpu_seconds;
    }
    entry.set_peak_memory_bytes(peak_memory_bytes);
    entry.set_cpu_seconds(cpu_seconds);
    entry.set_run_id(context_.run_id);
    entry.set_kind(stage_.kind);
    if (gate_failed_) {
      entry.set_gate_failed(true);
      entry.set_gate_message(result_.log_tail.empty() ? "a gate does not hold" : result_.log_tail.back());
    }
    if (is_chain) RETURN_IF_ERROR(RecordCompleted(entry));
    RETURN_IF_ERROR(store_.cache->Put(decision_.key, entry, stage_.name));
    result_.outcome = gate_failed_ ? AttemptResult::Outcome::kGateFailed : AttemptResult::Outcome::kComplete;
    return absl::OkStatus();
  }

  // A trainer that went on from the last step itself has computed no loss: it is the curve's last one all the same.
  static void AddFinalLoss(ActionEntry& entry) {
    for (const Metric& metric : entry.metric()) {
      if (metric.name() == "loss") return;
    }
    for (const Curve& curve : entry.curve()) {
      if (curve.name() != "loss" || curve.value().empty()) continue;
      Metric* metric = entry.add_metric();
      metric->set_name("loss");
      metric->set_value(*curve.value().rbegin());
    }
  }

  absl::Status CheckEndOfChain() const {
    if (step_ == stage_.train_steps->total_steps && state_.has_digest()) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("ended with status 0, but its last checkpoint is of step ", step_, " of ",
                                            stage_.train_steps->total_steps));
  }

  // So that another budget that ends at this state finds what is made at its end.
  absl::Status RecordCompleted(const ActionEntry& entry) {
    SegmentEntry end;
    end.set_parent(state_.digest());
    end.set_first(step_);
    end.set_last(step_);
    data_.Describe(end);
    *end.mutable_state() = state_;
    *end.mutable_completed() = entry;
    end.mutable_completed()->clear_key();
    end.mutable_completed()->clear_curve();
    end.set_run_id(context_.run_id);
    RETURN_IF_ERROR(store_.cache->PutSegment(*decision_.chain_key, end, stage_.name));
    if (store_.uploads != nullptr) store_.uploads->AddChain(*decision_.chain_key);
    return absl::OkStatus();
  }

  const RunContext& context_;
  Store& store_;
  const ResolvedStage& stage_;
  const Decision& decision_;
  const std::vector<const ActionEntry*>& producer_;
  const Placement& placement_;
  const int attempt_;
  const ReportSink& report_;
  const int hashing_threads_;
  std::string work_;

  absl::optional<JobRecord> job_;  // of gangs that outlive the executor
  std::unique_ptr<Gang> adopted_;
  bool adopted_here_ = false;

  AttemptResult result_;
  std::vector<Tree> inputs_;  // by edge
  absl::optional<Tree> resume_;
  EventCollector collector_;
  GangResult gang_;
  bool gate_failed_ = false;

  // Training: what it reads, the last state that was taken, and why the chain cannot go on.
  TrainData data_;
  int64_t step_ = 0;
  OutputTree state_;
  absl::Time segment_started_;
  absl::Status chain_failure_;
};

}  // namespace

AttemptResult RunAttempt(const RunContext& context, int stage_index, const Decision& decision,
                         const std::vector<const ActionEntry*>& producer, const Placement& placement, int attempt,
                         const ReportSink& report) {
  return Attempt(context, stage_index, decision, producer, placement, attempt, report).Run();
}

}  // namespace millrace
