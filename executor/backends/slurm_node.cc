// What runs on a Slurm node: starts a gang's ranks, watches them, writes down how each ended. Statically linked, plain
// standard C++, so that any node can run it. Usage, from a batch script (slurm_script.h):
//
//   slurm_node run BATCH                    the one rank of the gang at this task's index in BATCH/list
//   slurm_node run BATCH srun ... slurm_node rank   the gang of several ranks: srun starts "slurm_node rank" for each
//
// In a gang the ranks and the first node's program talk through srun's standard streams, which Slurm carries without
// its controller. A rank says "end <rank> <how>", "fail <why>" and "term"; it is told "T<seconds>" (SIGTERM, SIGKILL
// after that grace), "K" (SIGKILL), or sees the end of the file: the first node is gone.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "executor/backends/slurm_node_files.h"

namespace millrace {
namespace {

constexpr double kNever = 1e300;
constexpr double kSrunEnds = 10;                  // seconds after its last rank
constexpr double kSignalLag = 0.2;                // seconds
constexpr int kPortBase = 20000, kPorts = 10000;  // below the ports that systems give out by themselves

double Now() {
  struct timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool ReadWhole(const std::string& path, std::string& bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  std::ostringstream content;
  content << file.rdbuf();
  bytes = content.str();
  return !file.bad();
}

// False with errno.
bool WriteWhole(const std::string& path, const std::string& bytes) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    at += n;
  }
  const int error = errno;
  if (::close(fd) != 0) return false;  // NFS says here that the disk is full
  errno = error;
  return at == bytes.size();
}

std::string JobName() {
  const std::string array = Variable("SLURM_ARRAY_JOB_ID");
  return array.empty() ? Variable("SLURM_JOB_ID") : array + "_" + Variable("SLURM_ARRAY_TASK_ID");
}

std::string NodeName() {
  const std::string name = Variable("SLURMD_NODENAME");
  if (!name.empty()) return name;
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  return host;
}

int NodeRank() { return std::atoi(Variable("SLURM_NODEID").c_str()); }

// How many of the step's tasks are on this node: SLURM_STEP_TASKS_PER_NODE is "8(x3),2".
int TasksHere() {
  const std::string text = Variable("SLURM_STEP_TASKS_PER_NODE");
  int node = NodeRank();
  for (const char* at = text.c_str(); *at != '\0';) {
    char* end;
    const int tasks = static_cast<int>(std::strtol(at, &end, 10));
    int nodes = 1;
    if (end[0] == '(' && end[1] == 'x') nodes = static_cast<int>(std::strtol(end + 2, &end, 10));
    if (node < nodes) return tasks;
    node -= nodes;
    while (*end != '\0' && *end != ',') ++end;
    at = *end == ',' ? end + 1 : end;
  }
  return 1;
}

int SignalFd() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGCONT, SIGUSR1, SIGUSR2, SIGHUP}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

enum class Asked { kNothing, kEnd, kKill };

// Reads what has come: SIGTERM asks for the end within a grace, SIGUSR1 at once.
Asked TakeSignals(int fd) {
  struct signalfd_siginfo info;
  Asked asked = Asked::kNothing;
  while (::read(fd, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGTERM) asked = std::max(asked, Asked::kEnd);
    if (info.ssi_signo == SIGUSR1) asked = Asked::kKill;
  }
  return asked;
}

// Between a SIGTERM that comes now and SIGKILL, in seconds; 0: kill at once.
double GraceFor(Asked asked, const GangOrder& order) {
  if (asked == Asked::kKill) return 0;
  const bool cancelled = ::access((order.work_folder + "/" + kSlurmCancelFile).c_str(), F_OK) == 0;
  return cancelled ? order.grace_seconds : order.slice_grace_seconds;
}

// One rank's process and what it leaves behind.
class RankProcess {
 public:
  // False, with `why`, if it cannot be started.
  bool Start(const GangOrder& order, int rank, int local_rank, int local_ranks, const std::string& master_address,
             int master_port, std::string& why) {
    const std::string gang_file = rank == 0 ? "gang.json" : "gang." + std::to_string(rank) + ".json";
    std::string json = order.gang_json.substr(0, order.gang_json.rfind('}'));
    if (json.size() > 1) json += ',';
    json += "\"rank\":" + std::to_string(rank) + ",\"world_size\":" + std::to_string(order.ranks) +
            ",\"local_rank\":" + std::to_string(local_rank) + ",\"local_world_size\":" + std::to_string(local_ranks);
    std::vector<std::string> environment = order.environment;
    environment.push_back("MILLRACE_GANG=" + gang_file);
    environment.push_back("MILLRACE_EVENTS=events." + std::to_string(rank));
    if (order.torchrun_variables) {
      const std::string port = std::to_string(master_port);
      const std::string node = std::to_string(NodeRank());
      json += ",\"master_address\":\"" + master_address + "\",\"master_port\":" + port;
      for (const auto& [name, value] :
           std::vector<std::pair<std::string, std::string>>{{"MASTER_ADDR", master_address},
                                                            {"MASTER_PORT", port},
                                                            {"RANK", std::to_string(rank)},
                                                            {"LOCAL_RANK", std::to_string(local_rank)},
                                                            {"GROUP_RANK", node},
                                                            {"NODE_RANK", node},
                                                            {"WORLD_SIZE", std::to_string(order.ranks)},
                                                            {"LOCAL_WORLD_SIZE", std::to_string(local_ranks)}})
        environment.push_back(name + "=" + value);
    }
    const std::string devices = Variable("CUDA_VISIBLE_DEVICES");
    if (order.gpus && !devices.empty()) environment.push_back("CUDA_VISIBLE_DEVICES=" + devices);
    json += "}";
    const std::string path = order.work_folder + "/" + gang_file;
    ::unlink(path.c_str());
    if (!WriteWhole(path, json)) {
      why = "write " + path + ": " + std::strerror(errno);
      return false;
    }
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) {
      why = std::string("make a pipe: ") + std::strerror(errno);
      return false;
    }
    pid_ = ::fork();
    if (pid_ == 0) Become(order, rank, environment, pipe[1]);
    ::close(pipe[1]);
    char text[512];
    ssize_t n = 0;
    if (pid_ > 0) {
      do n = ::read(pipe[0], text, sizeof(text));
      while (n < 0 && errno == EINTR);
    } else {
      n = std::snprintf(text, sizeof(text), "make a process for %s: %s", order.argument[0].c_str(),
                        std::strerror(errno));
    }
    ::close(pipe[0]);
    if (n <= 0) return true;
    why.assign(text, n);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
    return false;
  }

  bool running() const { return pid_ > 0; }
  double kill_at() const { return kill_at_; }

  void Terminate(double grace) {
    if (pid_ <= 0) return;
    if (grace <= 0) return Kill();
    if (kill_at_ == kNever) ::kill(-pid_, SIGTERM);
    kill_at_ = std::min(kill_at_, Now() + grace);
  }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    kill_at_ = kNever;
    how.killed = true;
  }
  void Tick() {
    if (Now() >= kill_at_) Kill();
  }

  // Takes the ends of child processes; true when the rank's is among them.
  bool Reap() {
    bool ended = false;
    while (true) {
      siginfo_t child = {};
      if (::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) != 0 || child.si_pid == 0) return ended;
      if (child.si_pid == pid_) ::kill(-pid_, SIGKILL);  // what it left in its group, while its id is still taken
      int status = 0;
      struct rusage usage = {};
      if (::wait4(child.si_pid, &status, 0, &usage) != pid_) continue;
      if (WIFEXITED(status)) how.exit_status = WEXITSTATUS(status);
      if (WIFSIGNALED(status)) how.signal = WTERMSIG(status);
      how.peak_memory_bytes = int64_t{usage.ru_maxrss} * 1024;
      how.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
      pid_ = 0;
      ended = true;
      EndOrphans();
    }
  }

  NodeReport::Rank how;

 private:
  [[noreturn]] static void Become(const GangOrder& order, int rank, const std::vector<std::string>& environment,
                                  int report) {
    const auto fail = [&](const std::string& what) {
      const std::string why = what + " " + order.argument[0] + ": " + std::strerror(errno);
      [[maybe_unused]] const ssize_t n = ::write(report, why.data(), why.size());
      ::_exit(127);
    };
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::umask(022);
    if (order.memory_bytes > 0) {
      const struct rlimit limit = {static_cast<rlim_t>(order.memory_bytes), static_cast<rlim_t>(order.memory_bytes)};
      if (::setrlimit(RLIMIT_AS, &limit) != 0) fail("bound the memory of");
    }
    const int null = ::open("/dev/null", O_RDONLY);
    const int log = ::open(order.log_path[rank].c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (log < 0) fail("open the log of");
    if (::dup2(null, 0) < 0 || ::dup2(log, 1) < 0 || ::dup2(log, 2) < 0) fail("connect the log of");
    for (int fd = 3; fd < 1024; ++fd) {
      if (fd != report) ::close(fd);
    }
    if (::chdir(order.work_folder.c_str()) != 0) fail("enter the working folder of");
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    std::vector<char*> arguments, variables;
    for (const std::string& a : order.argument) arguments.push_back(const_cast<char*>(a.c_str()));
    for (const std::string& e : environment) variables.push_back(const_cast<char*>(e.c_str()));
    arguments.push_back(nullptr);
    variables.push_back(nullptr);
    ::execve(arguments[0], arguments.data(), variables.data());
    fail("start");
    ::_exit(127);
  }

  // What left the rank's group has become a child of this process, a subreaper.
  static void EndOrphans() {
    const std::string list = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
    for (int round = 0; round < 100; ++round) {
      std::string text;
      if (!ReadWhole(list, text)) return;
      std::istringstream pids(text);
      pid_t pid;
      bool any = false;
      while (pids >> pid) {
        any = true;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
      }
      if (!any) return;
    }
  }

  pid_t pid_ = 0;
  double kill_at_ = kNever;
};

void Say(const std::string& line) { [[maybe_unused]] const ssize_t n = ::write(1, line.data(), line.size()); }

// Slurm signals all of a job's processes, one after the other: where a rank was the first, ours is about to come.
Asked LateSignal(int fd) {
  struct pollfd polled = {fd, POLLIN, 0};
  for (const double until = Now() + kSignalLag; Now() < until;) {
    ::poll(&polled, 1, static_cast<int>(1000 * kSignalLag));
    if (const Asked asked = TakeSignals(fd); asked != Asked::kNothing) return asked;
  }
  return Asked::kNothing;
}

int Timeout(double next) {
  return next == kNever ? -1 : std::clamp(static_cast<int>(1000 * (next - Now())) + 1, 0, 60'000);
}

// A rank that srun has started.
int RunRank() {
  std::string bytes;
  GangOrder order;
  const int rank = std::atoi(Variable("SLURM_PROCID").c_str());
  const int local_rank = std::atoi(Variable("SLURM_LOCALID").c_str());
  const std::string name = std::to_string(rank);
  const std::string spec = Variable("MILLRACE_SPEC");
  if (!ReadWhole(spec, bytes) || !GangOrder::Parse(bytes, order)) {
    Say("fail " + NodeName() + " cannot read " + spec + "\n");
    return 1;
  }
  const int signals = SignalFd();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  RankProcess process;
  std::string why;
  if (!process.Start(order, rank, local_rank, TasksHere(), Variable("MILLRACE_MASTER_ADDRESS"),
                     std::atoi(Variable("MILLRACE_MASTER_PORT").c_str()), why)) {
    Say("fail " + why + "\n");
    return 1;
  }
  bool listening = true;
  std::string heard;
  while (process.running()) {
    struct pollfd polled[] = {{signals, POLLIN, 0}, {listening ? 0 : -1, POLLIN, 0}};
    ::poll(polled, 2, Timeout(process.kill_at()));
    if (polled[0].revents != 0) {
      if (const Asked asked = TakeSignals(signals); asked != Asked::kNothing) {
        Say("term\n");
        process.Terminate(GraceFor(asked, order));
      }
    }
    if (polled[1].revents != 0) {
      char buffer[256];
      const ssize_t n = ::read(0, buffer, sizeof(buffer));
      if (n == 0) {
        listening = false;
        process.Kill();
      }
      if (n > 0) heard.append(buffer, n);
      for (size_t end; (end = heard.find('\n')) != std::string::npos; heard.erase(0, end + 1)) {
        if (heard[0] == 'K') process.Kill();
        if (heard[0] == 'T') process.Terminate(std::atof(heard.c_str() + 1));
      }
    }
    process.Tick();
    process.Reap();
  }
  if (process.how.exit_status != 0 && LateSignal(signals) != Asked::kNothing) Say("term\n");
  Say("end " + name + " " + process.how.Serialize() + "\n");
  return 0;
}

// A port that nothing listens on here, near the one that the job's number says.
int MasterPort() {
  const int first = std::atoi(Variable("SLURM_JOB_ID").c_str()) % kPorts;
  for (int i = 0; i < kPorts; ++i) {
    const int port = kPortBase + (first + i) % kPorts;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    address.sin_port = htons(port);
    const bool free = ::bind(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof(address)) == 0;
    ::close(fd);
    if (free) return port;
  }
  return kPortBase + first;
}

class GangOnNode {
 public:
  GangOnNode(const GangOrder& order, std::string spec) : order_(order), spec_(std::move(spec)) {}

  NodeReport Run(char** srun) {
    report_.job = JobName();
    report_.node = NodeName();
    report_.rank.resize(order_.ranks);
    started_at_ = Now();
    if (order_.time_limit_seconds > 0) limit_at_ = started_at_ + order_.time_limit_seconds;
    signals_ = SignalFd();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const int port = order_.torchrun_variables ? MasterPort() : 0;
    if (srun == nullptr) {
      RunHere(port);
    } else {
      RunSpread(srun, port);
    }
    report_.seconds = Now() - started_at_;
    return report_;
  }

 private:
  void RunHere(int port) {
    RankProcess process;
    if (!process.Start(order_, 0, 0, 1, report_.node, port, report_.not_started)) return;
    while (process.running()) {
      struct pollfd polled = {signals_, POLLIN, 0};
      ::poll(&polled, 1, Timeout(std::min(process.kill_at(), limit_at_)));
      double grace;
      if (MustEnd(polled.revents != 0 ? TakeSignals(signals_) : Asked::kNothing, grace)) process.Terminate(grace);
      process.Tick();
      process.Reap();
    }
    report_.rank[0] = process.how;
    if (process.how.exit_status == 0) return;
    report_.first_failed_rank = 0;
    if (report_.terminated || report_.timed_out) return;
    double grace;
    if (const Asked late = LateSignal(signals_); late != Asked::kNothing) MustEnd(late, grace);
  }

  // Whether the gang shall end now, and how soon: a signal has come, or the time limit.
  bool MustEnd(Asked asked, double& grace) {
    if (asked != Asked::kNothing) {
      if (!report_.terminated) report_.terminated_after_seconds = Now() - started_at_;
      report_.terminated = true;
      grace = GraceFor(asked, order_);
      return true;
    }
    if (Now() < limit_at_) return false;
    limit_at_ = kNever;
    report_.timed_out = true;
    grace = order_.grace_seconds;
    return true;
  }

  void RunSpread(char** srun, int port) {
    ::setenv("MILLRACE_SPEC", spec_.c_str(), 1);
    ::setenv("MILLRACE_MASTER_ADDRESS", report_.node.c_str(), 1);
    ::setenv("MILLRACE_MASTER_PORT", std::to_string(port).c_str(), 1);
    int to[2], from[2];
    if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) {
      report_.not_started = std::string("make a pipe: ") + std::strerror(errno);
      return;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(to[0], 0);
      ::dup2(from[1], 1);
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::execvp(srun[0], srun);
      std::fprintf(stderr, "start %s: %s\n", srun[0], std::strerror(errno));
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    ::signal(SIGPIPE, SIG_IGN);
    to_ranks_ = to[1];
    std::vector<bool> ended(order_.ranks, false);
    int num_ended = 0, srun_status = 0;
    bool open = true, srun_lives = true;
    double give_up_at = kNever;
    std::string heard;
    while (open || srun_lives) {
      struct pollfd polled[] = {{signals_, POLLIN, 0}, {open ? from[0] : -1, POLLIN, 0}};
      ::poll(polled, 2, Timeout(std::min(limit_at_, give_up_at)));
      double grace;
      if (MustEnd(polled[0].revents != 0 ? TakeSignals(signals_) : Asked::kNothing, grace)) Tell(grace);
      if (polled[1].revents != 0) {
        char buffer[4096];
        const ssize_t n = ::read(from[0], buffer, sizeof(buffer));
        if (n <= 0) open = false;
        if (n > 0) heard.append(buffer, n);
        for (size_t end; (end = heard.find('\n')) != std::string::npos; heard.erase(0, end + 1))
          Hear(heard.substr(0, end), ended, num_ended);
      }
      if (num_ended == order_.ranks && give_up_at == kNever) give_up_at = Now() + kSrunEnds;
      if (Now() >= give_up_at) ::kill(-pid, SIGKILL);
      if (srun_lives && ::waitpid(pid, &srun_status, WNOHANG) == pid) srun_lives = false;
      // A stream that somebody else keeps open must not hold the job.
      if (!srun_lives && give_up_at == kNever) give_up_at = Now() + kSrunEnds;
      if (!srun_lives && Now() >= give_up_at) open = false;
    }
    if (num_ended == order_.ranks || !report_.not_started.empty()) return;
    report_.lost =
        "srun " + (WIFSIGNALED(srun_status) ? "was ended by signal " + std::to_string(WTERMSIG(srun_status))
                                            : "exited with status " + std::to_string(WEXITSTATUS(srun_status)));
    for (int rank = 0; rank < order_.ranks; ++rank) {
      if (ended[rank]) continue;
      report_.lost +=
          (report_.lost.find(" before rank") == std::string::npos ? " before rank " : ", ") + std::to_string(rank);
      report_.rank[rank].signal = SIGKILL;
      if (report_.first_failed_rank < 0) report_.first_failed_rank = rank;
    }
    report_.lost += " had ended";
  }

  void Tell(double grace) {
    const std::string line = grace > 0 ? "T" + std::to_string(grace) + "\n" : "K\n";
    [[maybe_unused]] const ssize_t n = ::write(to_ranks_, line.data(), line.size());
  }

  void Hear(const std::string& line, std::vector<bool>& ended, int& num_ended) {
    if (line.rfind("fail ", 0) == 0) {
      if (report_.not_started.empty()) report_.not_started = line.substr(5);
      Tell(0);
    } else if (line == "term") {
      if (double grace; !report_.terminated && MustEnd(Asked::kEnd, grace)) Tell(grace);
    } else if (line.rfind("end ", 0) == 0) {
      char* rest;
      const long rank = std::strtol(line.c_str() + 4, &rest, 10);
      if (rank < 0 || rank >= order_.ranks || ended[rank]) return;
      NodeReport::Rank how;
      if (!NodeReport::Rank::Parse(rest, how)) return;
      report_.rank[rank] = how;
      ended[rank] = true;
      ++num_ended;
      if (how.exit_status == 0 || report_.first_failed_rank >= 0) return;
      report_.first_failed_rank = static_cast<int32_t>(rank);
      Tell(order_.grace_seconds);
    }
  }

  const GangOrder& order_;
  const std::string spec_;
  NodeReport report_;
  int signals_ = -1;
  int to_ranks_ = -1;
  double started_at_ = 0;
  double limit_at_ = kNever;
};

enum class Claim { kOurs, kAgain, kNotOurs };

Claim MakeClaim(const std::string& batch, const std::string& index) {
  const std::string path = batch + "/claim." + index;
  const std::string own = "run " + JobName() + "\n";
  const std::string aside = path + "." + JobName();
  if (!WriteWhole(aside, own)) {
    std::fprintf(stderr, "write %s: %s\n", aside.c_str(), std::strerror(errno));
    return Claim::kNotOurs;
  }
  const bool linked = ::link(aside.c_str(), path.c_str()) == 0;
  ::unlink(aside.c_str());
  if (linked) return Claim::kOurs;
  std::string other;
  ReadWhole(path, other);
  if (other == own) return Claim::kAgain;
  std::fprintf(stderr, "%s says \"%s\": nothing to do\n", path.c_str(), other.c_str());
  return Claim::kNotOurs;
}

int RunGang(const std::string& batch, char** srun) {
  const std::string index = Variable("SLURM_ARRAY_TASK_ID").empty() ? "0" : Variable("SLURM_ARRAY_TASK_ID");
  std::string list, bytes, spec;
  if (!ReadWhole(batch + "/list", list)) {
    std::fprintf(stderr, "%s: cannot read %s/list: %s\n", NodeName().c_str(), batch.c_str(), std::strerror(errno));
    return 1;
  }
  std::istringstream lines(list);
  for (int i = std::atoi(index.c_str()); i >= 0; --i) std::getline(lines, spec);
  GangOrder order;
  if (!ReadWhole(spec, bytes) || !GangOrder::Parse(bytes, order)) {
    std::fprintf(stderr, "%s: cannot read %s\n", NodeName().c_str(), spec.c_str());
    return 1;
  }
  const Claim claim = MakeClaim(batch, index);
  if (claim == Claim::kNotOurs) return 0;
  const std::string result = order.work_folder + "/" + kSlurmResultFile;
  NodeReport report;
  if (claim == Claim::kAgain) {
    if (::access(result.c_str(), F_OK) == 0) return 0;
    // What the first time has left is not a clean start.
    report.job = JobName();
    report.node = NodeName();
    report.requeued = true;
  } else {
    report = GangOnNode(order, spec).Run(srun);
  }
  const std::string aside = result + ".new";
  if (!WriteWhole(aside, report.Serialize()) || ::rename(aside.c_str(), result.c_str()) != 0) {
    std::fprintf(stderr, "write %s: %s\n", result.c_str(), std::strerror(errno));
    return 1;
  }
  if (!report.not_started.empty() || report.requeued) return 1;
  if (report.first_failed_rank < 0) return 0;
  const NodeReport::Rank& failed = report.rank[report.first_failed_rank];
  return failed.signal != 0 ? 128 + failed.signal : failed.exit_status;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "rank") return millrace::RunRank();
  if (mode == "run" && argc > 2) return millrace::RunGang(argv[2], argc > 3 ? argv + 3 : nullptr);
  std::fprintf(stderr, "usage: slurm_node run BATCH [SRUN...]\n");
  return 2;
}
