#include "executor/engine/machine.h"

#include <fcntl.h>
#include <gnu/libc-version.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace millrace {
namespace {

// The first processor's model. All of /proc/cpuinfo takes milliseconds on a big machine.
std::string CpuModel() {
  char text[4096];
  const int fd = ::open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  const ssize_t n = ::read(fd, text, sizeof(text));
  ::close(fd);
  absl::string_view rest(text, n > 0 ? n : 0);
  const size_t begin = rest.find("model name");
  if (begin == absl::string_view::npos) return "";
  rest = rest.substr(begin);
  rest = rest.substr(0, rest.find('\n'));
  const size_t colon = rest.find(": ");
  return colon == absl::string_view::npos ? "" : std::string(rest.substr(colon + 2));
}

}  // namespace

int NumProcessors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max<int>(1, static_cast<int>(std::thread::hardware_concurrency()));
}

MachineFacts ReadMachineFacts(Numerics numerics) {
  MachineFacts facts;
  struct utsname names;
  if (::uname(&names) == 0) {
    facts.set_host(names.nodename);
    facts.set_kernel(absl::StrCat(names.sysname, " ", names.release));
  }
  struct sysinfo info;
  if (::sysinfo(&info) == 0) facts.set_memory_bytes(static_cast<int64_t>(info.totalram) * info.mem_unit);
  facts.set_cpu_model(CpuModel());
  facts.set_cpus(NumProcessors());
  facts.set_libc(absl::StrCat("glibc ", ::gnu_get_libc_version()));
  facts.set_numerics(Numerics_Name(numerics));
  return facts;
}

absl::Status CheckNumerics(Numerics numerics) {
  bool good = false;
  switch (numerics) {
    case CPU_AVX2:
      good = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
      break;
    case CPU_AVX512:
      good = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
      break;
    case CUDA_SM80:
    case CUDA_SM89:
    case CUDA_SM90:
      good = ::access("/dev/nvidiactl", R_OK) == 0;
      break;
  }
  if (good) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("numerics ", Numerics_Name(numerics), " cannot be had on this machine (", CpuModel(),
                   ")\n  why: its results would differ in their last bits from what their key promises\n"
                   "  fix: run on a machine that has it, or name a cluster with another `numerics`"));
}

}  // namespace millrace
