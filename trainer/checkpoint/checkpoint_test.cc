#include "trainer/checkpoint/checkpoint.h"

#include <numeric>

#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

using ::testing::HasSubstr;

constexpr char kModel[] = "{\"num_hidden_layers\": 2, \"rope_theta\": 10000}";

std::vector<float> ValuesOf(const CheckpointTensor& tensor) {
  std::vector<float> values(tensor.elements);
  std::iota(values.begin(), values.end(), static_cast<float>(tensor.name.size() * 1000));
  return values;
}

// Tensors of 7, 12, 1 and 0 elements in ranges of 16 bytes.
absl::Status Write(const std::string& folder, int64_t range_bytes = 16) {
  ASSIGN_OR_RETURN(
      const CheckpointIndex index,
      NewCheckpointIndex(500, kModel,
                         {{"weights/b", {7}}, {"weights/a.long", {3, 4}}, {"adam_m/b", {}}, {"adam_v/none", {0, 5}}},
                         range_bytes));
  std::vector<std::vector<float>> values;
  for (const CheckpointTensor& tensor : index.tensors) values.push_back(ValuesOf(tensor));
  for (int64_t range = 0; range < index.num_ranges(); ++range) {
    RETURN_IF_ERROR(WriteRange(folder, index, range, [&](size_t i) { return absl::MakeConstSpan(values[i]); }));
  }
  return WriteIndex(folder, index);
}

TEST(CheckpointTest, WhatIsWrittenIsRead) {
  for (const int64_t range_bytes : {4, 16, 20, 1000}) {
    const std::string folder = *MakeTempDirectory("checkpoint");
    ASSERT_EQ(Write(folder, range_bytes), absl::OkStatus());
    const auto reader = CheckpointReader::Open(folder);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(reader->index().step, 500);
    EXPECT_EQ(reader->index().total_bytes, 80);
    EXPECT_EQ(reader->index().model_json, "{\"num_hidden_layers\":2,\"rope_theta\":10000}");
    ASSERT_EQ(reader->index().tensors.size(), 4u);
    for (const CheckpointTensor& tensor : reader->index().tensors) {
      EXPECT_EQ(*reader->Read(tensor.name), ValuesOf(tensor)) << tensor.name;
    }
    std::vector<float> part(2);
    ASSERT_TRUE(reader->Read("weights/b", 3, absl::MakeSpan(part)).ok());
    EXPECT_EQ(part, (std::vector<float>{9003, 9004}));
  }
}

// The bytes are a promise: they decide which runs share a cache entry.
TEST(CheckpointTest, Golden) {
  const std::string folder = *MakeTempDirectory("checkpoint");
  ASSERT_EQ(Write(folder, 1000), absl::OkStatus());
  EXPECT_EQ(*ReadFile(folder + "/checkpoint.json"), R"({
 "format": "millrace.checkpoint",
 "version": 1,
 "step": 500,
 "range_bytes": 1000,
 "total_bytes": 80,
 "model": {
  "num_hidden_layers": 2,
  "rope_theta": 10000
 },
 "tensors": [
  {"name":"adam_m/b","dtype":"float32","shape":[],"offset":0},
  {"name":"adam_v/none","dtype":"float32","shape":[0,5],"offset":4},
  {"name":"weights/a.long","dtype":"float32","shape":[3,4],"offset":4},
  {"name":"weights/b","dtype":"float32","shape":[7],"offset":52}
 ]
}
)");
  EXPECT_EQ(*ListFiles(folder), (std::vector<std::string>{"checkpoint.json", "range-00000.bin"}));
  EXPECT_EQ(ReadFile(folder + "/range-00000.bin")->size(), 80u);
}

TEST(CheckpointTest, Names) {
  EXPECT_EQ(CheckpointName(500), "step-000500");
  EXPECT_EQ(CheckpointName(12345678), "step-12345678");
  EXPECT_EQ(RangeFileName(12), "range-00012.bin");
}

TEST(CheckpointTest, RefusesWhatItCannotIndex) {
  EXPECT_EQ(NewCheckpointIndex(1, "{}", {{"a", {1}}, {"a", {2}}}).status().message(), "two tensors are named \"a\"");
  EXPECT_FALSE(NewCheckpointIndex(1, "[]", {}).ok());
}

TEST(CheckpointTest, ClearErrors) {
  const struct {
    const char* description;
    const char* from;
    const char* to;
    absl::StatusCode code;
    const char* message;
  } kCases[] = {
      {"not JSON", "{", "", absl::StatusCode::kDataLoss, "checkpoint.json: not JSON"},
      {"another format", "millrace.checkpoint", "other", absl::StatusCode::kDataLoss, "not the index of a checkpoint"},
      {"a newer version", "\"version\": 1", "\"version\": 2", absl::StatusCode::kFailedPrecondition,
       "checkpoint version 2; this program reads version 1"},
      {"another dtype", "float32", "bfloat16", absl::StatusCode::kFailedPrecondition, "\"adam_m/b\" is bfloat16"},
      {"a gap", "\"offset\":52", "\"offset\":56", absl::StatusCode::kDataLoss, "is at 56, not at 52"},
      {"a shape", "[7]", "[8]", absl::StatusCode::kDataLoss, "the tensors have 84 bytes, total_bytes says 80"},
      {"a field that is missing", "\"step\"", "\"steps\"", absl::StatusCode::kDataLoss, "key 'step' not found"},
      {"a huge shape", "[3,4]", "[4611686018427387904,4]", absl::StatusCode::kDataLoss, "is impossible"},
  };
  for (const auto& c : kCases) {
    const std::string folder = *MakeTempDirectory("checkpoint");
    ASSERT_EQ(Write(folder), absl::OkStatus());
    const std::string path = folder + "/checkpoint.json";
    ASSERT_TRUE(WriteFile(path, absl::StrReplaceAll(*ReadFile(path), {{c.from, c.to}})).ok());
    const absl::Status status = CheckpointReader::Open(folder).status();
    EXPECT_EQ(status.code(), c.code) << c.description << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.description;
  }
}

TEST(CheckpointTest, MissingAndTornFiles) {
  const std::string folder = *MakeTempDirectory("checkpoint");
  EXPECT_THAT(std::string(CheckpointReader::Open(folder).status().message()), HasSubstr("not a checkpoint"));
  ASSERT_EQ(Write(folder), absl::OkStatus());
  ASSERT_TRUE(WriteFile(folder + "/range-00001.bin", "short").ok());
  EXPECT_THAT(std::string(CheckpointReader::Open(folder).status().message()),
              HasSubstr("range-00001.bin: has 5 bytes, the index says 16"));
  ASSERT_TRUE(RemoveTree(folder + "/range-00001.bin").ok());
  EXPECT_EQ(CheckpointReader::Open(folder).status().code(), absl::StatusCode::kNotFound);
}

TEST(CheckpointTest, TensorsThatAreNotThere) {
  const std::string folder = *MakeTempDirectory("checkpoint");
  ASSERT_EQ(Write(folder), absl::OkStatus());
  const auto reader = CheckpointReader::Open(folder);
  EXPECT_EQ(reader->Read("weights/c").status().code(), absl::StatusCode::kNotFound);
  std::vector<float> out(8);
  EXPECT_EQ(reader->Read("weights/b", 0, absl::MakeSpan(out)).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace millrace::trainer
