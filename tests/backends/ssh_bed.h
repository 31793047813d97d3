// What the beds of OpenSSH hosts have in common.
#ifndef MILLRACE_TESTS_BACKENDS_SSH_BED_H_
#define MILLRACE_TESTS_BACKENDS_SSH_BED_H_

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "executor/backends/ssh.h"
#include "tests/backends/conformance.h"

namespace millrace {

// Runs it; its output only if it fails.
inline bool RunScript(const std::string& command) {
  const std::string quiet = absl::StrCat("out=$( { ", command, "; } 2>&1 ) || { echo \"$out\"; exit 1; }");
  const int status = std::system(quiet.c_str());
  if (status == 0) return true;
  std::printf("failed: %s\n", command.c_str());
  return false;
}

// Why there can be no OpenSSH server here, or "".
inline std::string NoSshd() {
  for (const char* program : {"/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"}) {
    if (::access(program, X_OK) != 0)
      return absl::StrCat("there is no ", program, " (apt-get install openssh-server openssh-client)");
  }
  return "";
}

// Patience and silence are short: what these tests break, they break for seconds.
inline SshBackendOptions SshBedOptions(const std::string& config, const std::string& work_dir) {
  SshBackendOptions options;
  options.client.ssh.config = config;
  options.client.ssh.work_dir = work_dir;
  options.client.ssh.connect_time = absl::Seconds(5);
  options.client.silence = absl::Seconds(8);
  options.client.patience = absl::Seconds(6);
  options.client.time_to_live = absl::Seconds(30);
  options.agent_path = "executor/agent/millrace-agent";
  return options;
}

}  // namespace millrace

#endif  // MILLRACE_TESTS_BACKENDS_SSH_BED_H_
