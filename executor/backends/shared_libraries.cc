// Asks the loader itself ("--list"), which runs nothing of the program.
#include "executor/backends/shared_libraries.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";

bool IsOfGlibc(absl::string_view name) {
  static constexpr absl::string_view kNames[] = {
      "libc.so",    "libm.so",   "libmvec.so", "libdl.so",  "librt.so", "libpthread.so",     "libresolv.so",
      "libutil.so", "libanl.so", "ld-linux",   "libnsl.so", "libnss_",  "libBrokenLocale.so"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](absl::string_view prefix) { return absl::StartsWith(name, prefix); });
}

// What the loader prints; empty if it does not take the program.
absl::StatusOr<std::string> ListOf(const std::string& program) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoError(errno, "make a pipe for", kLoader);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const char* arguments[] = {kLoader, "--list", program.c_str(), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, kLoader, &actions, nullptr, const_cast<char* const*>(arguments), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(fds[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; error == 0 && (n = ::read(fds[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, n);
  ::close(fds[0]);
  if (error != 0) return ErrnoError(error, "run", kLoader);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "";
}

bool IsDynamicProgram(const std::string& path) {
  char magic[4] = {};
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::read(fd, magic, sizeof(magic));
  ::close(fd);
  return n == sizeof(magic) && absl::string_view(magic, sizeof(magic)) == "\177ELF";
}

}  // namespace

absl::StatusOr<std::vector<SharedLibrary>> SharedLibrariesOf(const std::string& program, const std::string& folder) {
  std::vector<SharedLibrary> libraries;
  if (!IsDynamicProgram(program)) return libraries;
  ASSIGN_OR_RETURN(const std::string text, ListOf(program));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    // "\tlibre2.so.9 => /lib/x86_64-linux-gnu/libre2.so.9 (0x00007f...)"
    line = absl::StripAsciiWhitespace(line);
    const size_t arrow = line.find(" => ");
    if (arrow == absl::string_view::npos) continue;
    const absl::string_view name = line.substr(0, arrow);
    absl::string_view path = line.substr(arrow + 4);
    if (path == "not found") {
      return absl::FailedPreconditionError(
          absl::StrCat(program, " needs ", name, ", which is not on this machine\n  fix: install it"));
    }
    path = path.substr(0, path.rfind(" ("));
    if (IsOfGlibc(name) || absl::StartsWith(path, folder + "/")) continue;
    libraries.push_back({std::string(BaseName(name)), std::string(path)});
  }
  std::sort(libraries.begin(), libraries.end(),
            [](const SharedLibrary& a, const SharedLibrary& b) { return a.name < b.name; });
  return libraries;
}

}  // namespace millrace
