#include "executor/engine/tar.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace millrace {
namespace {

TEST(TarTest, WhatIsWrittenIsRead) {
  const std::string folder = *MakeTempDirectory("tar");
  const std::string path = folder + "/x.tar";
  const std::string long_name = absl::StrCat("runs/", std::string(90, 'r'), "/", std::string(80, 's'));
  {
    const auto tar = *TarWriter::Create(path);
    ASSERT_TRUE(WriteFile(folder + "/file", std::string(1000, 'f')).ok());
    EXPECT_TRUE(tar->Add("empty", "").ok());
    EXPECT_TRUE(tar->Add(long_name, std::string(512, 'x')).ok());
    EXPECT_TRUE(tar->AddFile("file", folder + "/file", 1000).ok());
    EXPECT_EQ(tar->Add(std::string(300, 'n'), "").code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(tar->Close().ok());
  }
  EXPECT_EQ(*FileSize(path) % 512, 0);
  const auto tar = *TarReader::Open(path);
  EXPECT_EQ((**tar->Next()).name, "empty");
  EXPECT_EQ((**tar->Next()).name, long_name);  // not read: passed over
  EXPECT_EQ((**tar->Next()).size_bytes, 1000);
  EXPECT_EQ(*tar->ReadAll(), std::string(1000, 'f'));
  EXPECT_FALSE((*tar->Next()).has_value());

  ASSERT_EQ(::truncate(path.c_str(), 2000), 0);
  const auto broken = *TarReader::Open(path);
  absl::Status status;
  while (status.ok()) {
    const auto file = broken->Next();
    status = file.status();
    if (status.ok()) ASSERT_TRUE(file->has_value());
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(WriteFile(path, std::string(4096, 'x')).ok());
  EXPECT_EQ((*TarReader::Open(path))->Next().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace millrace
