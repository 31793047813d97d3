#include "executor/observe/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

std::atomic<int> hidden_on_fd{-1};

absl::string_view Get(const EnvironmentLookup& env, const char* name) {
  const char* value = env(name);
  return value == nullptr ? absl::string_view() : absl::string_view(value);
}

void OnFatalSignal(int signal) {
  ShowCursor();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

absl::StatusOr<ProgressMode> ChooseProgressMode(absl::string_view flag, bool is_terminal,
                                                const EnvironmentLookup& env) {
  if (flag == "tty") return ProgressMode::kTty;
  if (flag == "plain") return ProgressMode::kPlain;
  if (flag == "quiet") return ProgressMode::kQuiet;
  if (!flag.empty() && flag != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("--progress=", flag, ": accepted: auto, tty, plain, quiet"));
  }
  const bool ci = !Get(env, "CI").empty() && Get(env, "CI") != "false";
  const absl::string_view term = Get(env, "TERM");
  return is_terminal && !ci && !term.empty() && term != "dumb" ? ProgressMode::kTty : ProgressMode::kPlain;
}

absl::StatusOr<bool> ChooseColor(absl::string_view flag, bool is_terminal, const EnvironmentLookup& env) {
  if (flag == "always") return true;
  if (flag == "never") return false;
  if (!flag.empty() && flag != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("--color=", flag, ": accepted: auto, always, never"));
  }
  if (!Get(env, "NO_COLOR").empty()) return false;
  const absl::string_view force = Get(env, "CLICOLOR_FORCE");
  if (!force.empty() && force != "0") return true;
  if (Get(env, "CLICOLOR") == "0") return false;
  return is_terminal && Get(env, "TERM") != "dumb";
}

bool ChooseUtf8(const EnvironmentLookup& env) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const absl::string_view value = Get(env, name);
    if (value.empty()) continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

TerminalSize TerminalSizeOf(int fd) {
  TerminalSize size;
  struct winsize window = {};
  if (::ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) {
    size.columns = window.ws_col;
    size.rows = window.ws_row;
    return size;
  }
  int value;
  const char* columns = std::getenv("COLUMNS");
  if (columns != nullptr && absl::SimpleAtoi(columns, &value) && value > 0) size.columns = value;
  const char* lines = std::getenv("LINES");
  if (lines != nullptr && absl::SimpleAtoi(lines, &value) && value > 0) size.rows = value;
  return size;
}

void ShowCursor() {
  const int fd = hidden_on_fd.exchange(-1);
  if (fd < 0) return;
  static constexpr char kShow[] = "\x1b[?25h";
  [[maybe_unused]] const ssize_t written = ::write(fd, kShow, sizeof(kShow) - 1);
}

void HideCursorUntilExit(int fd) {
  static const bool installed = [] {
    std::atexit(ShowCursor);
    for (int signal : {SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGQUIT}) {
      struct sigaction old = {};
      // Whoever handles a signal already ends the process in order, and atexit does the rest.
      if (::sigaction(signal, nullptr, &old) == 0 && old.sa_handler == SIG_DFL) ::signal(signal, OnFatalSignal);
    }
    return true;
  }();
  (void)installed;
  if (hidden_on_fd.exchange(fd) >= 0) return;
  static constexpr char kHide[] = "\x1b[?25l";
  [[maybe_unused]] const ssize_t written = ::write(fd, kHide, sizeof(kHide) - 1);
}

}  // namespace millrace
