#include "executor/backends/shared_libraries.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/algorithm/container.h"
#include "base/file.h"

namespace millrace {
namespace {

TEST(SharedLibrariesTest, FindsWhatAProgramNeedsBesideGlibc) {
  char program[4096] = {};
  ASSERT_GT(::readlink("/proc/self/exe", program, sizeof(program) - 1), 0);
  const auto libraries = SharedLibrariesOf(program, "/no/such/folder");
  ASSERT_TRUE(libraries.ok()) << libraries.status();
  EXPECT_TRUE(absl::c_any_of(*libraries, [](const SharedLibrary& l) { return l.name == "libstdc++.so.6"; }));
  EXPECT_FALSE(absl::c_any_of(*libraries, [](const SharedLibrary& l) { return l.name == "libc.so.6"; }));
  for (const SharedLibrary& library : *libraries) EXPECT_TRUE(FileExists(library.path)) << library.path;
  // Those that travel with the program are not named again.
  EXPECT_TRUE(SharedLibrariesOf(program, "")->empty());
}

TEST(SharedLibrariesTest, AScriptNeedsNone) {
  const std::string folder = *MakeTempDirectory("libraries");
  ASSERT_TRUE(WriteFile(folder + "/script", "#!/bin/sh\n").ok());
  EXPECT_TRUE(SharedLibrariesOf(folder + "/script", folder)->empty());
  EXPECT_TRUE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace millrace
