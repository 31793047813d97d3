#include "trainer/safetensors/safetensors.h"

#include <cstring>
#include <vector>

#include "base/file.h"
#include "gtest/gtest.h"

namespace millrace::trainer {
namespace {

std::string WithHeader(absl::string_view header, absl::string_view data) {
  const uint64_t size = header.size();
  std::string bytes(reinterpret_cast<const char*>(&size), 8);
  bytes.append(header.data(), header.size());
  bytes.append(data.data(), data.size());
  return bytes;
}

template <typename T>
absl::string_view Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = *MakeTempDirectory("safetensors"); }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }

  std::string folder_;
};

TEST_F(SafetensorsTest, WritesAndReads) {
  const std::vector<float> a = {1, -2.5f, 3e30f, 0, 5, 6};
  const std::vector<int64_t> b = {1, int64_t{1} << 40, -7};
  auto writer = SafetensorsWriter::Create(
      Path("x.safetensors"),
      {{"b", DType::kI64, {3}}, {"a", DType::kF32, {2, 3}}, {"empty", DType::kF32, {0, 4}}, {"s", DType::kF32, {}}},
      {{"format", "pt"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ(writer->next()->name, "a");
  writer->Append(Bytes(a).substr(0, 10));
  writer->Append(Bytes(a).substr(10));
  EXPECT_EQ(writer->next()->name, "b");
  writer->Append(Bytes(b));
  EXPECT_EQ(writer->next()->name, "s");
  writer->Append(Bytes(std::vector<float>{4}));
  EXPECT_EQ(writer->next(), nullptr);
  ASSERT_TRUE(writer->Close().ok());

  const std::string bytes = *ReadFile(Path("x.safetensors"));
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"data_offsets":[0,24],"dtype":"F32","shape":[2,3]},)"
      R"("b":{"data_offsets":[24,48],"dtype":"I64","shape":[3]},"empty":{"data_offsets":[48,48],"dtype":"F32","shape":[0,4]},)"
      R"("s":{"data_offsets":[48,52],"dtype":"F32","shape":[]}})";
  EXPECT_EQ(bytes.substr(8, header.size()), header);
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  EXPECT_EQ(header_bytes % 8, 0);
  EXPECT_EQ(bytes.size(), 8 + header_bytes + 52);

  const auto reader = SafetensorsReader::Open(Path("x.safetensors"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->metadata().at("format"), "pt");
  EXPECT_EQ(reader->tensors().size(), 4);
  EXPECT_EQ(reader->Get("a")->shape, (std::vector<int64_t>{2, 3}));
  std::vector<float> floats(6);
  ASSERT_TRUE(reader->ReadFloats("a", 6, floats.data()).ok());
  EXPECT_EQ(floats, a);
  std::vector<int64_t> ints(3);
  ASSERT_TRUE(reader->ReadInts("b", 3, ints.data()).ok());
  EXPECT_EQ(ints, b);
  EXPECT_EQ(reader->ReadFloats("a", 5, floats.data()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader->ReadFloats("b", 3, floats.data()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader->ReadInts("a", 6, ints.data()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader->Get("c").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SafetensorsTest, HalfPrecisionIsReadExactly) {
  const std::vector<uint16_t> bits = {0x3F80, 0xC020, 0x0001, 0x7F80};  // bf16: 1, -2.5, 2^-133, infinity
  const std::vector<uint16_t> half = {0x3C00, 0xC100, 0x0001, 0x7C00};  // f16: 1, -2.5, 2^-24, infinity
  ASSERT_TRUE(WriteFile(Path("h"), WithHeader(R"({"b":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},)"
                                              R"("h":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]}})",
                                              std::string(Bytes(bits)) + std::string(Bytes(half))))
                  .ok());
  const auto reader = SafetensorsReader::Open(Path("h"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> values(4);
  ASSERT_TRUE(reader->ReadFloats("b", 4, values.data()).ok());
  EXPECT_EQ(values, (std::vector<float>{1, -2.5f, 0x1p-133f, INFINITY}));
  ASSERT_TRUE(reader->ReadFloats("h", 4, values.data()).ok());
  EXPECT_EQ(values, (std::vector<float>{1, -2.5f, 0x1p-24f, INFINITY}));
}

TEST_F(SafetensorsTest, Shards) {
  const std::string two =
      WithHeader(R"({"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", std::string("\0\0\0\x40", 4));
  ASSERT_TRUE(WriteFile(Path("1.safetensors"), WithHeader(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                                          std::string("\0\0\x80\x3f", 4)))
                  .ok());
  ASSERT_TRUE(WriteFile(Path("2.safetensors"), two).ok());
  const std::string index = Path("model.safetensors.index.json");
  EXPECT_EQ(SafetensorsReader::Open(folder_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteFile(index, R"({"weight_map":{"x":"1.safetensors","y":"2.safetensors"}})").ok());
  const auto reader = SafetensorsReader::Open(folder_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  float value = 0;
  ASSERT_TRUE(reader->ReadFloats("y", 1, &value).ok());
  EXPECT_EQ(value, 2);
  ASSERT_TRUE(WriteFile(index, R"({"weight_map":{"z":"1.safetensors"}})").ok());
  EXPECT_EQ(SafetensorsReader::Open(folder_).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(WriteFile(index, R"({"weight_map":{"x":"../1.safetensors"}})").ok());
  EXPECT_EQ(SafetensorsReader::Open(folder_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SafetensorsTest, CorruptFilesAreRefused) {
  const std::string data(8, 'x');
  const struct {
    std::string bytes;
    std::string message;  // part of it
  } rows[] = {
      {"", "shorter than 8"},
      {std::string(8, '\xff'), "its header says"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "its header says"},
      {WithHeader("[1]", ""), "not a JSON object"},
      {WithHeader("{", ""), "not a JSON object"},
      {WithHeader("\xff\xfe", ""), "not a JSON object"},
      {WithHeader(R"({"a":3})", ""), "tensor \"a\": the entry needs"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", data), "the entry needs"},
      {WithHeader(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", data), "\"F99\""},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", data), "is not a shape"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}})", data), "is not a shape"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", data),
       "is not a shape"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", data), "not within"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", data), "not within"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", data), "hold 8 bytes"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", data), "begins at 4"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", data), "have 4 bytes"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                  data),
       "tensor \"b\" begins at 4"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                  data),
       "twice"},
      {WithHeader(R"({"__metadata__":{"a":1}})", ""), "not a string"},
  };
  for (const auto& row : rows) {
    ASSERT_TRUE(WriteFile(Path("x"), row.bytes).ok());
    const absl::Status status = SafetensorsReader::Open(Path("x")).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.message;
    EXPECT_NE(status.message().find(row.message), absl::string_view::npos) << status;
  }
  EXPECT_EQ(SafetensorsReader::Open(Path("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SafetensorsTest, UnfinishedWriterSaysSo) {
  auto writer = SafetensorsWriter::Create(Path("x"), {{"a", DType::kF32, {2}}});
  ASSERT_TRUE(writer.ok());
  writer->Append("1234");
  EXPECT_EQ(writer->Close().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace::trainer
