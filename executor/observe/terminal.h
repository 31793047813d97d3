// What kind of screen we write to, by the conventions of the tools that people use: --progress and --color win, then
// NO_COLOR, CLICOLOR_FORCE and CLICOLOR (https://no-color.org, https://bixense.com/clicolors); whether lines are
// redrawn never follows from a wish for color.
#ifndef MILLRACE_EXECUTOR_OBSERVE_TERMINAL_H_
#define MILLRACE_EXECUTOR_OBSERVE_TERMINAL_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

enum class ProgressMode {
  kTty,    // a block of lines that is redrawn
  kPlain,  // a line for each change and a steady heartbeat
  kQuiet,  // failures
};

// Looks a variable of the environment up; null: not set.
using EnvironmentLookup = std::function<const char*(const char*)>;

// `flag`: "auto", "tty", "plain", "quiet"; empty is auto: a terminal that can move its cursor (TERM is not "dumb") and
// no CI gets kTty. InvalidArgument: another word.
absl::StatusOr<ProgressMode> ChooseProgressMode(absl::string_view flag, bool is_terminal, const EnvironmentLookup& env);
// `flag`: "auto", "always", "never"; empty is auto.
absl::StatusOr<bool> ChooseColor(absl::string_view flag, bool is_terminal, const EnvironmentLookup& env);
// Whether LC_ALL, LC_CTYPE or LANG (the first that is set) names UTF-8.
bool ChooseUtf8(const EnvironmentLookup& env);

struct TerminalSize {
  int columns = 80;
  int rows = 24;
};
// Of the terminal behind `fd`; $COLUMNS and $LINES where it does not say; else 80 by 24.
TerminalSize TerminalSizeOf(int fd);

// Shows the cursor again if HideCursorUntilExit hid it. Async-signal-safe.
void ShowCursor();
// Hides the cursor of the terminal behind `fd`. It comes back with ShowCursor, at exit, and when SIGTERM, SIGABRT,
// SIGSEGV or SIGQUIT ends the process.
void HideCursorUntilExit(int fd);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_TERMINAL_H_
