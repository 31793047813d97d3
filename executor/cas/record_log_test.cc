#include "executor/cas/record_log.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"

namespace millrace {
namespace {

class RecordLogTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("record_log"); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path() const { return JoinPath(folder_, "sub/x.log"); }

  static RecordLog::Batch Records(const std::vector<std::string>& payloads) {
    RecordLog::Batch batch;
    for (const std::string& payload : payloads) batch.Add(7, payload);
    return batch;
  }
  static std::vector<std::string> ReadAll(RecordLog& log) {
    std::vector<std::string> payloads;
    EXPECT_TRUE(log.Refresh([&](const RecordLog::Record& record) {
                     EXPECT_EQ(record.type, 7);
                     payloads.emplace_back(record.payload.data(), record.payload.size());
                   })
                    .ok());
    return payloads;
  }
  std::string folder_;
};

TEST_F(RecordLogTest, ReadersSeeWhatOthersAppendOnce) {
  auto writer = *RecordLog::Open(Path());
  auto reader = *RecordLog::OpenForReading(Path());
  EXPECT_TRUE(ReadAll(*reader).empty());
  ASSERT_TRUE(writer->Append(Records({"a", "", std::string(100000, 'x')})).ok());
  EXPECT_EQ(ReadAll(*reader), (std::vector<std::string>{"a", "", std::string(100000, 'x')}));
  ASSERT_TRUE(writer->Append(Records({"b"})).ok());
  EXPECT_EQ(ReadAll(*reader), std::vector<std::string>{"b"});
  EXPECT_EQ(RecordLog::OpenForReading(JoinPath(folder_, "none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RecordLogTest, AnyTornTailIsLeftOutAndCutOff) {
  {
    auto log = *RecordLog::Open(Path());
    ASSERT_TRUE(log->Append(Records({"first", "second, longer"})).ok());
  }
  const std::string whole = *ReadFile(Path());
  for (size_t size = 0; size < whole.size(); ++size) {
    ASSERT_TRUE(WriteFile(Path(), whole.substr(0, size)).ok());
    auto log = *RecordLog::Open(Path());
    std::vector<std::string> payloads = ReadAll(*log);
    EXPECT_LE(payloads.size(), 1) << size;
    ASSERT_TRUE(log->Append(Records({"after"})).ok());
    payloads.push_back("after");
    auto reader = *RecordLog::OpenForReading(Path());
    EXPECT_EQ(ReadAll(*reader), payloads) << size;
  }
}

TEST_F(RecordLogTest, ADamagedRecordEndsTheLog) {
  {
    auto log = *RecordLog::Open(Path());
    ASSERT_TRUE(log->Append(Records({"first", "second"})).ok());
  }
  std::string bytes = *ReadFile(Path());
  bytes.back() ^= 1;
  ASSERT_TRUE(WriteFile(Path(), bytes).ok());
  EXPECT_EQ(ReadAll(**RecordLog::Open(Path())), std::vector<std::string>{"first"});
  ASSERT_TRUE(WriteFile(Path(), "something else entirely").ok());
  EXPECT_EQ(RecordLog::Open(Path()).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RecordLogTest, ReplaceIsNoticedElsewhere) {
  auto a = *RecordLog::Open(Path());
  auto b = *RecordLog::Open(Path());
  ASSERT_TRUE(a->Append(Records({"one", "two"})).ok());
  EXPECT_EQ(ReadAll(*b).size(), 2);
  ASSERT_TRUE(a->Replace(Records({"two"})).ok());
  bool replaced = false;
  std::vector<std::string> payloads;
  ASSERT_TRUE(b->Update([&](const RecordLog::Record& r) { payloads.emplace_back(r.payload.data(), r.payload.size()); },
                        [&] { return Records({"three"}); }, [&] { replaced = true; })
                  .ok());
  EXPECT_TRUE(replaced);
  EXPECT_EQ(payloads, (std::vector<std::string>{"two", "three"}));
  EXPECT_EQ(ReadAll(*a), (std::vector<std::string>{"two", "three"}));
}

TEST_F(RecordLogTest, ProcessesAndThreadsAppendAtOnce) {
  auto log = *RecordLog::Open(Path());
  const auto append_many = [&](RecordLog& to) {
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(to.Append(Records({std::string(i, 'x')})).ok());
  };
  const pid_t child = ::fork();
  if (child == 0) {
    append_many(**RecordLog::Open(Path()));
    ::_exit(0);
  }
  std::thread thread([&] { append_many(*log); });
  append_many(*log);
  thread.join();
  int status;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  size_t total = 0;
  auto reader = *RecordLog::OpenForReading(Path());
  const std::vector<std::string> payloads = ReadAll(*reader);
  EXPECT_EQ(payloads.size(), 600);
  for (const std::string& payload : payloads) total += payload.size();
  EXPECT_EQ(total, 3 * 199 * 200 / 2);
}

}  // namespace
}  // namespace millrace
