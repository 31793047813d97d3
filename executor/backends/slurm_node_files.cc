#include "executor/backends/slurm_node_files.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace millrace {
namespace {

constexpr char kMagic[] = "millrace slurm gang 1";

void Add(const char* name, const std::string& value, std::string& bytes) {
  bytes += name;
  bytes += '=';
  bytes += value;
  bytes += '\0';
}

std::string Number(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.17g", value);
  return text;
}

}  // namespace

std::string GangOrder::Serialize() const {
  std::string bytes = kMagic;
  bytes += '\0';
  Add("work", work_folder, bytes);
  Add("ranks", std::to_string(ranks), bytes);
  Add("limit", Number(time_limit_seconds), bytes);
  Add("grace", Number(grace_seconds), bytes);
  Add("slice_grace", Number(slice_grace_seconds), bytes);
  Add("memory", std::to_string(memory_bytes), bytes);
  Add("torchrun", torchrun_variables ? "1" : "0", bytes);
  Add("gpus", gpus ? "1" : "0", bytes);
  Add("gang", gang_json, bytes);
  for (const std::string& path : log_path) Add("log", path, bytes);
  for (const std::string& value : argument) Add("arg", value, bytes);
  for (const std::string& value : environment) Add("env", value, bytes);
  Add("end", "", bytes);
  return bytes;
}

bool GangOrder::Parse(const std::string& bytes, GangOrder& order) {
  order = GangOrder();
  bool first = true, ended = false;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = bytes.find('\0', at);
    if (end == std::string::npos) return false;
    const std::string entry = bytes.substr(at, end - at);
    at = end + 1;
    if (first) {
      if (entry != kMagic) return false;
      first = false;
      continue;
    }
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) return false;
    const std::string name = entry.substr(0, equals), value = entry.substr(equals + 1);
    if (name == "work") order.work_folder = value;
    if (name == "ranks") order.ranks = std::atoi(value.c_str());
    if (name == "limit") order.time_limit_seconds = std::atof(value.c_str());
    if (name == "grace") order.grace_seconds = std::atof(value.c_str());
    if (name == "slice_grace") order.slice_grace_seconds = std::atof(value.c_str());
    if (name == "memory") order.memory_bytes = std::atoll(value.c_str());
    if (name == "torchrun") order.torchrun_variables = value == "1";
    if (name == "gpus") order.gpus = value == "1";
    if (name == "gang") order.gang_json = value;
    if (name == "log") order.log_path.push_back(value);
    if (name == "arg") order.argument.push_back(value);
    if (name == "env") order.environment.push_back(value);
    if (name == "end") ended = true;
  }
  return ended && order.ranks > 0 && !order.argument.empty() &&
         order.log_path.size() == static_cast<size_t>(order.ranks);
}

std::string NodeReport::Rank::Serialize() const {
  return std::to_string(exit_status) + " " + std::to_string(signal) + " " + std::to_string(peak_memory_bytes) + " " +
         Number(cpu_seconds) + " " + (killed ? "1" : "0");
}

bool NodeReport::Rank::Parse(const std::string& text, Rank& rank) {
  long long memory = 0;
  int killed = 0;
  if (std::sscanf(text.c_str(), "%d %d %lld %lf %d", &rank.exit_status, &rank.signal, &memory, &rank.cpu_seconds,
                  &killed) != 5)
    return false;
  rank.peak_memory_bytes = memory;
  rank.killed = killed != 0;
  return true;
}

std::string NodeReport::Serialize() const {
  const auto one_line = [](std::string why) {
    for (char& c : why) c = c == '\n' ? ' ' : c;
    return why;
  };
  std::string text = "job " + job + "\nnode " + node + "\nseconds " + Number(seconds) + "\nfirst_failed " +
                     std::to_string(first_failed_rank) + "\n";
  if (timed_out) text += "timed_out\n";
  if (terminated) text += "terminated " + Number(terminated_after_seconds) + "\n";
  if (requeued) text += "requeued\n";
  if (!not_started.empty()) text += "not_started " + one_line(not_started) + "\n";
  if (!lost.empty()) text += "lost " + one_line(lost) + "\n";
  for (const Rank& r : rank) {
    text += "rank " + r.Serialize() + "\n";
  }
  return text + "end\n";
}

bool NodeReport::Parse(const std::string& text, NodeReport& report) {
  report = NodeReport();
  std::istringstream lines(text);
  std::string line;
  bool ended = false;
  while (std::getline(lines, line)) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string value = space == std::string::npos ? "" : line.substr(space + 1);
    if (name == "job") report.job = value;
    if (name == "node") report.node = value;
    if (name == "seconds") report.seconds = std::atof(value.c_str());
    if (name == "first_failed") report.first_failed_rank = std::atoi(value.c_str());
    if (name == "timed_out") report.timed_out = true;
    if (name == "requeued") report.requeued = true;
    if (name == "not_started") report.not_started = value;
    if (name == "lost") report.lost = value;
    if (name == "terminated") {
      report.terminated = true;
      report.terminated_after_seconds = std::atof(value.c_str());
    }
    if (name == "rank" && !Rank::Parse(value, report.rank.emplace_back())) return false;
    ended |= name == "end";
  }
  return ended;
}

}  // namespace millrace
