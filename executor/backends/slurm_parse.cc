#include "executor/backends/slurm_parse.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace millrace {
namespace {

constexpr std::pair<absl::string_view, SlurmState> kStates[] = {
    {"PENDING", SlurmState::kPending},
    {"RUNNING", SlurmState::kRunning},
    {"CONFIGURING", SlurmState::kRunning},
    {"SUSPENDED", SlurmState::kRunning},
    {"STOPPED", SlurmState::kRunning},
    {"SIGNALING", SlurmState::kRunning},
    {"RESIZING", SlurmState::kRunning},
    {"EXPEDITING", SlurmState::kPending},
    {"COMPLETING", SlurmState::kCompleting},
    {"STAGE_OUT", SlurmState::kCompleting},
    {"REQUEUED", SlurmState::kRequeued},
    {"REQUEUE_HOLD", SlurmState::kRequeued},
    {"REQUEUE_FED", SlurmState::kPending},
    {"RESV_DEL_HOLD", SlurmState::kPending},
    {"SPECIAL_EXIT", SlurmState::kRequeued},
    {"COMPLETED", SlurmState::kCompleted},
    {"FAILED", SlurmState::kFailed},
    {"CANCELLED", SlurmState::kCancelled},
    {"REVOKED", SlurmState::kCancelled},
    {"TIMEOUT", SlurmState::kTimeout},
    {"DEADLINE", SlurmState::kTimeout},
    {"PREEMPTED", SlurmState::kPreempted},
    {"NODE_FAIL", SlurmState::kNodeFail},
    {"BOOT_FAIL", SlurmState::kNodeFail},
    {"LAUNCH_FAILED", SlurmState::kNodeFail},
    {"RECONFIG_FAIL", SlurmState::kNodeFail},
    {"OUT_OF_MEMORY", SlurmState::kOutOfMemory},
};

bool IsNumber(absl::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!absl::ascii_isdigit(c)) return false;
  }
  return true;
}

bool ContainsAny(absl::string_view text, std::initializer_list<absl::string_view> parts) {
  for (const absl::string_view part : parts) {
    if (absl::StrContains(text, part)) return true;
  }
  return false;
}

}  // namespace

bool IsActive(SlurmState state) {
  return state == SlurmState::kPending || state == SlurmState::kRunning || state == SlurmState::kCompleting ||
         state == SlurmState::kRequeued;
}

SlurmState ParseSlurmState(absl::string_view word) {
  word = word.substr(0, word.find_first_of(" +"));
  for (const auto& [name, state] : kStates) {
    if (word == name) return state;
  }
  return SlurmState::kUnknown;
}

absl::optional<SlurmTasks> ParseSlurmTasks(absl::string_view text) {
  SlurmTasks tasks;
  absl::ConsumePrefix(&text, "[");
  absl::ConsumeSuffix(&text, "]");
  text = text.substr(0, text.find('%'));
  if (text.empty() || text == "N/A") return tasks;
  tasks.truncated = absl::ConsumeSuffix(&text, "...");
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int step = 1;
    if (const size_t colon = part.find(':'); colon != part.npos) {
      if (!absl::SimpleAtoi(part.substr(colon + 1), &step) || step < 1) return absl::nullopt;
      part = part.substr(0, colon);
    }
    const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first, last;
    if (!absl::SimpleAtoi(ends.first, &first)) {
      if (tasks.truncated) continue;  // cut within a number
      return absl::nullopt;
    }
    last = first;
    if (!ends.second.empty() && !absl::SimpleAtoi(ends.second, &last)) return absl::nullopt;
    if (first < 0 || last - first > 10'000'000) return absl::nullopt;
    for (int i = first; i <= last; i += step) tasks.index.push_back(i);
  }
  return tasks;
}

std::vector<SlurmJobLine> ParseSqueue(absl::string_view output) {
  std::vector<SlurmJobLine> lines;
  for (const absl::string_view text : absl::StrSplit(output, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> field = absl::StrSplit(text, absl::MaxSplits('|', 5));
    if (field.size() != 6 || !IsNumber(field[0])) continue;
    const absl::optional<SlurmTasks> tasks = ParseSlurmTasks(field[1]);
    if (!tasks.has_value()) continue;
    SlurmJobLine& line = lines.emplace_back();
    line.job = std::string(field[0]);
    line.tasks = *tasks;
    line.word = std::string(field[2]);
    line.state = ParseSlurmState(field[2]);
    line.nodes = std::string(field[3]);
    line.name = std::string(field[4]);
    line.reason = std::string(absl::StripAsciiWhitespace(field[5]));
  }
  return lines;
}

std::vector<SlurmJobLine> ParseSacct(absl::string_view output) {
  std::vector<SlurmJobLine> lines;
  for (const absl::string_view text : absl::StrSplit(output, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> field = absl::StrSplit(text, absl::MaxSplits('|', 2));
    if (field.size() != 3) continue;
    const std::pair<absl::string_view, absl::string_view> id = absl::StrSplit(field[0], absl::MaxSplits('_', 1));
    if (!IsNumber(id.first)) continue;  // of a step, or of a heterogeneous job
    const absl::optional<SlurmTasks> tasks = ParseSlurmTasks(id.second);
    if (!tasks.has_value()) continue;
    SlurmJobLine& line = lines.emplace_back();
    line.job = std::string(id.first);
    line.tasks = *tasks;
    line.word = std::string(field[1]);
    line.state = ParseSlurmState(field[1]);
    if (field[2] != "None assigned") line.nodes = std::string(field[2]);
  }
  return lines;
}

absl::optional<std::string> ParseSbatch(absl::string_view output) {
  output = absl::StripAsciiWhitespace(output);
  if (const size_t newline = output.rfind('\n'); newline != output.npos) output = output.substr(newline + 1);
  output = output.substr(0, output.find(';'));
  if (!IsNumber(output)) return absl::nullopt;
  return std::string(output);
}

SlurmConfig ParseSlurmConfig(absl::string_view output) {
  SlurmConfig config;
  for (const absl::string_view text : absl::StrSplit(output, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(text, absl::MaxSplits('=', 1));
    const absl::string_view name = absl::StripAsciiWhitespace(field.first);
    const absl::string_view value = absl::StripAsciiWhitespace(field.second);
    if (int size; name == "MaxArraySize" && absl::SimpleAtoi(value, &size)) config.max_array_size = size;
    // "accounting_storage/none" before 23.11, "(null)" since.
    if (name == "AccountingStorageType") config.accounting = absl::StrContains(value, "slurmdbd");
    if (name == "SLURM_VERSION") config.version = std::string(value);
  }
  return config;
}

SlurmFailure ClassifySlurmFailure(absl::string_view error) {
  const std::string lower = absl::AsciiStrToLower(error);
  if (ContainsAny(lower, {"rate limit", "temporarily unable", "resource temporarily unavailable", "try again",
                          "retry again later", "too many pending"}))
    return SlurmFailure::kBusy;
  if (ContainsAny(lower, {"accounting storage is disabled", "slurm accounting storage", "slurmdbd"}))
    return SlurmFailure::kNoAccounting;
  if (ContainsAny(lower, {"unable to contact slurm controller", "socket timed out", "connection refused",
                          "connection timed out", "connection failure", "connect failure", "no route to host",
                          "network is unreachable", "zero bytes were transmitted", "standby mode",
                          "unable to connect to", "munge", "authentication credential", "authentication error",
                          "protocol authentication", "address already in use", "controller not responding"}))
    return SlurmFailure::kAway;
  if (ContainsAny(lower, {"job submit limit", "maxsubmitjob", "maximum number of jobs", "max_jobs"}))
    return SlurmFailure::kQueueFull;
  if (ContainsAny(lower, {"invalid job id", "job/step already completing", "already completed"}))
    return SlurmFailure::kNoSuchJob;
  return SlurmFailure::kRefused;
}

bool IsHeld(absl::string_view reason) {
  return ContainsAny(reason, {"JobHeld", "held", "BadConstraints", "DependencyNeverSatisfied", "JobLaunchFailure",
                              "InvalidAccount", "InvalidQOS", "PartitionTimeLimit", "PartitionNodeLimit"});
}

}  // namespace millrace
