// Stages over ssh to hosts in network namespaces, which have names, addresses, homes and cables of their own.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/status_macros.h"
#include "tests/backends/ssh_bed.h"

namespace millrace {
namespace {

constexpr char kNet[] = "tests/testbed/netns.sh ";
constexpr char kSshd[] = "tests/testbed/sshd.sh ";

class SshNetnsBed : public BackendBed {
 public:
  SshNetnsBed() {
    patience = absl::Seconds(120);
    skip_reason_ = ::geteuid() != 0 ? "network namespaces need root" : NoSshd();
    for (const char* program : {"/usr/sbin/ip", "/usr/sbin/nft", "/usr/sbin/ethtool"}) {
      if (skip_reason_.empty() && ::access(program, X_OK) != 0)
        skip_reason_ = absl::StrCat("there is no ", program, " (apt-get install iproute2 nftables ethtool)");
    }
    if (!skip_reason_.empty()) return;
    // For another user to see.
    char path[] = "/tmp/millrace_netns_XXXXXX";
    folder_ = ::mkdtemp(path);
    ::chmod(path, 0755);
    // Beside other beds.
    prefix_ = absl::StrCat("mc", ::getpid() % 1000, "x");
    ::setenv("TB_PREFIX", prefix_.c_str(), 1);
    ::setenv("TB_NET", absl::StrCat("10.", 100 + ::getpid() % 100, ".0").c_str(), 1);
    ::setenv("TB_STATE", JoinPath(folder_, "bed").c_str(), 1);
    ::setenv("TB_USER", "millrace-test", 1);
    ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    up_ = RunScript(absl::StrCat(kSshd, "up 3"));
    if (!up_) skip_reason_ = "the hosts could not be made";
    EXPECT_TRUE(CreateDirectories(JoinPath(folder_, "gangs")).ok());
  }
  ~SshNetnsBed() override {
    if (up_) RunScript(absl::StrCat(kSshd, "down"));
    if (!folder_.empty()) RemoveTree(folder_).IgnoreError();
  }

  std::string skip_reason() const override { return skip_reason_; }
  std::string folder() const override { return JoinPath(folder_, "gangs"); }
  std::vector<std::string> hosts() const override { return {prefix_ + "1", prefix_ + "2", Last()}; }

  absl::StatusOr<std::unique_ptr<Backend>> Make() override {
    SshBackendOptions options = SshBedOptions(JoinPath(folder_, "bed-ssh/config"), "~/.millrace");
    options.client.ssh.command = {"tests/testbed/netns.sh", "exec", prefix_ + "1", "ssh"};
    ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, SshBackend::Make(options));
    return backend;
  }

  std::function<void()> Inject(Fault fault) override {
    const auto run = [](const std::string& script, const std::string& command) {
      EXPECT_TRUE(RunScript(absl::StrCat(script, command)));
    };
    const std::string host = Last();
    switch (fault) {
      case Fault::kNodeLost:
        run(kSshd, "kill " + host);
        return [=] { run(kSshd, "start " + host); };
      case Fault::kConnectionDropped:
        run(kNet, "reject " + host + " 22");
        return [=] { run(kNet, "heal " + host); };
      case Fault::kNodeHangs:
        run(kNet, "cut " + host);
        return [=] { run(kNet, "heal " + host); };
      case Fault::kUnknownNode:
        return [] {};
      case Fault::kLoginRefused: {
        const std::string keys = JoinPath(folder_, "bed-ssh/authorized_keys");
        EXPECT_TRUE(RenameFile(keys, keys + ".away").ok());
        return [=] { EXPECT_TRUE(RenameFile(keys + ".away", keys).ok()); };
      }
      case Fault::kIdentityChanged:
        run(kSshd, "rekey " + host);
        return [=] { run(kSshd, "known"); };
      case Fault::kDiskFull:
        return nullptr;
    }
    return nullptr;
  }

 private:
  std::string Last() const { return prefix_ + "3"; }

  std::string skip_reason_;
  std::string folder_;
  std::string prefix_;
  bool up_ = false;
};

}  // namespace

std::unique_ptr<BackendBed> MakeBed() { return std::make_unique<SshNetnsBed>(); }

}  // namespace millrace
