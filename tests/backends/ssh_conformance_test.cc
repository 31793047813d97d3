// Stages over ssh to hosts on 127.0.0.2, 127.0.0.3..., as whoever runs the test.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include "absl/strings/numbers.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "tests/backends/ssh_bed.h"

namespace millrace {
namespace {

constexpr char kScript[] = "tests/testbed/sshd_local.sh ";

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  ::bind(fd, reinterpret_cast<struct sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<struct sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

class SshLocalBed : public BackendBed {
 public:
  SshLocalBed() : folder_(*MakeTempDirectory("ssh_bed")), nodes_(JoinPath(folder_, "nodes")) {
    skip_reason_ = NoSshd();
    if (!skip_reason_.empty()) return;
    // The last host has a small disk, where that can be had: seen by this process and the servers it starts.
    const std::string disk = JoinPath(nodes_, "h3");
    EXPECT_TRUE(CreateDirectories(disk).ok() && CreateDirectories(JoinPath(folder_, "gangs")).ok());
    small_disk_ = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                  ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64m") == 0;
    state_ = JoinPath(folder_, "sshd");
    ::setenv("TB_SSHD_STATE", state_.c_str(), 1);
    ::setenv("TB_SSHD_PORT", absl::StrCat(FreePort()).c_str(), 1);
    if (!RunScript(absl::StrCat(kScript, "up 3"))) skip_reason_ = "the servers could not be started";
  }
  ~SshLocalBed() override {
    if (!state_.empty()) RunScript(absl::StrCat(kScript, "down"));
    for (const char* host : {"h1", "h2", "h3"}) KillAgent(host);
    if (small_disk_) ::umount2(JoinPath(nodes_, "h3").c_str(), MNT_DETACH);
    RemoveTree(folder_).IgnoreError();
  }

  std::string skip_reason() const override { return skip_reason_; }
  std::string folder() const override { return JoinPath(folder_, "gangs"); }
  std::vector<std::string> hosts() const override { return {"h1", "h2", "h3"}; }

  absl::StatusOr<std::unique_ptr<Backend>> Make() override {
    SshBackendOptions options = SshBedOptions(JoinPath(state_, "config"), nodes_);
    for (int i = 1; i <= 3; ++i) options.hosts.push_back({absl::StrCat("h", i), absl::StrCat("127.0.0.", i + 1), 0});
    ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, SshBackend::Make(options));
    return backend;
  }

  std::function<void()> Inject(Fault fault) override {
    const auto script = [](const std::string& command) { EXPECT_TRUE(RunScript(absl::StrCat(kScript, command))); };
    switch (fault) {
      case Fault::kNodeLost:
        script("stop h3");
        KillAgent("h3");
        return [=] { script("start h3"); };
      case Fault::kConnectionDropped:
        script("drop h3");
        return [] {};
      case Fault::kNodeHangs:
        script("freeze h3");
        return [=] { script("thaw h3"); };
      case Fault::kUnknownNode:
        return [] {};
      case Fault::kLoginRefused: {
        const std::string keys = JoinPath(state_, "authorized_keys");
        EXPECT_TRUE(RenameFile(keys, keys + ".away").ok());
        return [=] { EXPECT_TRUE(RenameFile(keys + ".away", keys).ok()); };
      }
      case Fault::kIdentityChanged:
        script("rekey h3");
        return [=] { script("known"); };
      case Fault::kDiskFull: {
        if (!small_disk_) return nullptr;
        const std::string disk = JoinPath(nodes_, "h3");
        struct statvfs s;
        EXPECT_EQ(::statvfs(disk.c_str(), &s), 0);
        const auto free_bytes = static_cast<int64_t>(s.f_bavail * s.f_frsize);
        // Less than the agent and an input need together; the agent is there, or fits.
        const std::string junk = JoinPath(disk, "junk");
        EXPECT_TRUE(WriteFile(junk, std::string(std::max<int64_t>(0, free_bytes - (4 << 20)), 'x')).ok());
        return [=] { ::unlink(junk.c_str()); };
      }
    }
    return nullptr;
  }

 private:
  void KillAgent(const std::string& host) const {
    int pid;
    const std::string text = ReadFile(absl::StrCat(nodes_, "/", host, "/lock")).value_or("");
    if (absl::SimpleAtoi(text, &pid) &&
        ReadFile(absl::StrCat("/proc/", pid, "/comm")).value_or("") == "millrace-agent\n")
      ::kill(pid, SIGKILL);
  }

  const std::string folder_;
  const std::string nodes_;
  std::string state_;
  std::string skip_reason_;
  bool small_disk_ = false;
};

}  // namespace

std::unique_ptr<BackendBed> MakeBed() { return std::make_unique<SshLocalBed>(); }

}  // namespace millrace
