#include "executor/engine/run_log.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace millrace {
namespace {

RunEvent Note(const std::string& text) {
  RunEvent event;
  event.set_note(text);
  return event;
}

TEST(RunLogTest, FollowsAndLeavesATornEndOut) {
  const std::string folder = *MakeTempDirectory("run_log");
  EXPECT_EQ(RunLogReader::Open(folder).status().code(), absl::StatusCode::kNotFound);
  auto writer = *RunLogWriter::Create(folder + "/run");
  auto reader = *RunLogReader::Open(folder + "/run");
  std::vector<std::string> notes;
  const auto sink = [&](const RunEvent& event) { notes.push_back(event.note()); };
  ASSERT_TRUE(writer->Append({Note("a"), Note("b")}).ok());
  ASSERT_TRUE(reader->Read(sink).ok());
  EXPECT_EQ(notes, (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(writer->Append({Note("c")}).ok());
  ASSERT_TRUE(reader->Read(sink).ok());
  EXPECT_EQ(notes.back(), "c");

  std::string bytes = *ReadFile(folder + "/run/events.log");
  bytes.pop_back();
  ASSERT_TRUE(WriteFile(folder + "/run/events.log", bytes).ok());
  notes.clear();
  reader = *RunLogReader::Open(folder + "/run");
  ASSERT_TRUE(reader->Read(sink).ok());
  EXPECT_EQ(notes, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace millrace
