#include "executor/observe/terminal.h"

#include <map>

#include "gtest/gtest.h"

namespace millrace {
namespace {

EnvironmentLookup Env(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

TEST(TerminalTest, ProgressMode) {
  struct Row {
    const char* flag;
    bool is_terminal;
    std::map<std::string, std::string> env;
    ProgressMode mode;
  };
  for (const Row& row : {
           Row{"", true, {{"TERM", "xterm"}}, ProgressMode::kTty},
           Row{"auto", true, {{"TERM", "xterm"}}, ProgressMode::kTty},
           Row{"", true, {{"TERM", "dumb"}}, ProgressMode::kPlain},
           Row{"", true, {}, ProgressMode::kPlain},
           Row{"", true, {{"TERM", "xterm"}, {"CI", "true"}}, ProgressMode::kPlain},
           Row{"", false, {{"TERM", "xterm"}}, ProgressMode::kPlain},
           Row{"", false, {{"TERM", "xterm"}, {"CLICOLOR_FORCE", "1"}}, ProgressMode::kPlain},
           Row{"tty", false, {}, ProgressMode::kTty},
           Row{"plain", true, {{"TERM", "xterm"}}, ProgressMode::kPlain},
           Row{"quiet", true, {{"TERM", "xterm"}}, ProgressMode::kQuiet},
       }) {
    EXPECT_EQ(ChooseProgressMode(row.flag, row.is_terminal, Env(row.env)).value(), row.mode) << row.flag;
  }
  EXPECT_EQ(ChooseProgressMode("loud", true, Env({})).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TerminalTest, Color) {
  struct Row {
    const char* flag;
    bool is_terminal;
    std::map<std::string, std::string> env;
    bool color;
  };
  for (const Row& row : {
           Row{"", true, {{"TERM", "xterm"}}, true},
           Row{"", false, {{"TERM", "xterm"}}, false},
           Row{"", true, {{"TERM", "dumb"}}, false},
           Row{"", true, {{"NO_COLOR", "1"}}, false},
           Row{"", true, {{"NO_COLOR", ""}, {"TERM", "xterm"}}, true},
           Row{"", false, {{"CLICOLOR_FORCE", "1"}}, true},
           Row{"", false, {{"CLICOLOR_FORCE", "0"}}, false},
           Row{"", false, {{"CLICOLOR_FORCE", "1"}, {"NO_COLOR", "1"}}, false},
           Row{"", true, {{"CLICOLOR", "0"}, {"TERM", "xterm"}}, false},
           Row{"always", false, {{"NO_COLOR", "1"}}, true},
           Row{"never", true, {{"CLICOLOR_FORCE", "1"}}, false},
       }) {
    EXPECT_EQ(ChooseColor(row.flag, row.is_terminal, Env(row.env)).value(), row.color) << row.flag;
  }
  EXPECT_FALSE(ChooseColor("some", true, Env({})).ok());
}

TEST(TerminalTest, Utf8) {
  EXPECT_TRUE(ChooseUtf8(Env({{"LANG", "en_US.UTF-8"}})));
  EXPECT_TRUE(ChooseUtf8(Env({{"LANG", "C"}, {"LC_ALL", "C.utf8"}})));
  EXPECT_FALSE(ChooseUtf8(Env({{"LC_ALL", "C"}, {"LANG", "en_US.UTF-8"}})));
  EXPECT_FALSE(ChooseUtf8(Env({})));
}

}  // namespace
}  // namespace millrace
