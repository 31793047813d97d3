#include "tests/backends/slurm_bed.h"

#include <fcntl.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace millrace {
namespace {

constexpr char kScript[] = "tests/testbed/slurm.sh";

// Exit status; what it said in `output`.
int Shell(const std::string& command_line, std::string& output) {
  FILE* pipe = ::popen(command_line.c_str(), "r");
  if (pipe == nullptr) return -1;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  return ::pclose(pipe);
}

}  // namespace

std::string SlurmCluster::SkipReason() {
  if (::getuid() != 0) return "needs root, for network namespaces";
  std::string output;
  if (Shell("PATH=$PATH:/usr/sbin; for p in slurmctld slurmd sbatch munged ip nft ethtool ps; do "
            "command -v $p >/dev/null || echo $p; done",
            output) != 0 ||
      !output.empty())
    return "needs Slurm: apt-get install slurmctld slurmd slurm-client munge iproute2 nftables ethtool procps";
  const std::string probe = absl::StrCat("millrace-probe-", ::getpid());
  if (Shell(absl::StrCat("ip netns add ", probe, " 2>&1 && ip netns del ", probe), output) != 0)
    return "network namespaces cannot be made here";
  return "";
}

SlurmCluster::SlurmCluster(std::string prefix, std::string net) {
  folder_ = *MakeTempDirectory(absl::StrCat("slurm-", prefix));
  bin_ = JoinPath(folder_, "bin");
  char cwd[4096];
  script_ =
      absl::StrCat("TMPDIR=/tmp TB_PREFIX=", prefix, " TB_NET=", net, " ", ::getcwd(cwd, sizeof(cwd)), "/", kScript);
  EXPECT_TRUE(CreateDirectories(bin_).ok());
  for (const char* name : {"sbatch", "squeue", "sacct", "scontrol", "scancel"}) {
    const std::string path = JoinPath(bin_, name);
    EXPECT_TRUE(WriteFile(path, absl::StrCat("#!/bin/sh\n", script_, " run ", name, " \"$@\"\n")).ok());
    EXPECT_EQ(::chmod(path.c_str(), 0755), 0);
  }
  std::string output;
  lock_ = ::open(absl::StrCat("/tmp/testbed-", prefix, ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  EXPECT_EQ(::flock(lock_, LOCK_EX), 0);
  Shell(absl::StrCat(script_, " down 2>&1"), output);
  output.clear();
  if (Shell(absl::StrCat(script_, " up 3 2>&1"), output) != 0) status_ = absl::UnavailableError(output);
}

SlurmCluster::~SlurmCluster() {
  std::string output;
  Shell(absl::StrCat(script_, " down 2>&1"), output);
  ::close(lock_);
  RemoveTree(folder_).IgnoreError();
}

SlurmOptions SlurmCluster::Options() const {
  SlurmOptions options;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "bed" slurm {}
         pool { name: "cpu" partition: "main" max_nodes: 3 cpus: 4 memory: "2000MiB"
                accelerator { count: 4 memory: "80GiB" } })",
      &options.cluster));
  options.folder = JoinPath(folder_, "slurm");
  options.commands = bin_;
  options.haste = 4;
  return options;
}

std::string SlurmCluster::Bed(const std::string& command_line) const {
  std::string output;
  EXPECT_EQ(Shell(absl::StrCat(script_, " ", command_line), output), 0) << command_line << "\n" << output;
  return std::string(absl::StripSuffix(output, "\n"));
}

}  // namespace millrace
