#include "data/tokenizer/encode_file.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>

#include "base/file.h"
#include "data/tokenizer/tokenizer_test_json.h"

namespace millrace::data {
namespace {

Tokenizer Small() { return *Tokenizer::Create(*ParseTokenizerJson(SmallTokenizerJson().dump(), "t.json")); }

template <typename T>
std::vector<T> Numbers(const std::string& path) {
  const std::string bytes = *ReadFile(path);
  std::vector<T> numbers(bytes.size() / sizeof(T));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

TEST(EncodeJsonLinesTest, WritesIdsAndOffsets) {
  const Tokenizer tokenizer = Small();
  const std::string folder = *MakeTempDirectory("encode");
  ASSERT_TRUE(WriteFile(folder + "/in.jsonl",
                        "\xEF\xBB\xBF{\"id\": [1, {\"text\": 2}], \"text\": \"hell<eos>\"}\r\n"
                        "\n  \n"
                        "{\"text\": \"\"}\n"
                        "{\"text\": \"h\\u00e9\\n\", \"text2\": 1}")
                  .ok());
  const absl::StatusOr<EncodeTotals> totals = EncodeJsonLines(tokenizer, folder + "/in.jsonl", folder + "/a/out", 2);
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->documents, 3);
  EXPECT_EQ(totals->text_bytes, 13);
  EXPECT_EQ(totals->ids, 6);
  std::vector<uint32_t> expected = {258, 259};
  for (const uint32_t id : tokenizer.Encode("hé\n", SpecialTokens::kAsText)) expected.push_back(id);
  EXPECT_EQ(Numbers<uint32_t>(folder + "/a/out/ids.u32"), expected);
  EXPECT_EQ(Numbers<uint64_t>(folder + "/a/out/offs.u64"), (std::vector<uint64_t>{0, 2, 2, 6}));
}

TEST(EncodeJsonLinesTest, SameForAnyNumberOfThreadsAndCompressed) {
  const Tokenizer tokenizer = Small();
  const std::string folder = *MakeTempDirectory("encode");
  std::string lines;
  for (int i = 0; lines.size() < (10 << 20); ++i) {
    lines += "{\"text\": \"hello " + std::to_string(i) + std::string(i % 300, 'l') + "\"}\n";
    if (i == 5000) lines += "{\"text\": \"" + std::string(9 << 20, 'x') + "\"}\n";  // longer than a block
  }
  ASSERT_TRUE(WriteFile(folder + "/in.jsonl", lines).ok());
  gzFile gz = gzopen((folder + "/in.jsonl.gz").c_str(), "wb1");
  gzwrite(gz, lines.data(), lines.size());
  gzclose(gz);
  const std::string inputs[] = {"/in.jsonl", "/in.jsonl", "/in.jsonl.gz"};
  for (int run = 0; run < 3; ++run) {
    const std::string out = folder + "/out" + std::to_string(run);
    const absl::StatusOr<EncodeTotals> totals = EncodeJsonLines(tokenizer, folder + inputs[run], out, run == 0 ? 1 : 4);
    ASSERT_TRUE(totals.ok()) << totals.status();
    EXPECT_EQ(Numbers<uint64_t>(out + "/offs.u64").back(), totals->ids);
    EXPECT_EQ(*ReadFile(out + "/ids.u32") == *ReadFile(folder + "/out0/ids.u32"), true);
    EXPECT_EQ(*ReadFile(out + "/offs.u64") == *ReadFile(folder + "/out0/offs.u64"), true);
  }
}

TEST(EncodeJsonLinesTest, NamesTheBadLine) {
  const Tokenizer tokenizer = Small();
  const std::string folder = *MakeTempDirectory("encode");
  const std::pair<const char*, const char*> cases[] = {
      {"{\"text\":\"x\"} y", "not a JSON object"},  {"{\"tex\":1}", "it has no field \"text\""},
      {"{\"text\":3}", "field \"text\": "},         {"[1]", "not a JSON object"},
      {"{\"text\":\"x", "not a JSON object"},       {"{\"text\":\"\\ud800\"}", "field \"text\": "},
      {"{\"text\":\"\xFF\"}", "not a JSON object"}, {"{\"a\":}", "not a JSON object"},
  };
  for (const auto& [line, message] : cases) {
    ASSERT_TRUE(WriteFile(folder + "/in.jsonl", std::string("{\"text\": \"ok\"}\n\n") + line + "\n{}\n").ok());
    const absl::Status status = EncodeJsonLines(tokenizer, folder + "/in.jsonl", folder + "/out", 2).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message().find(folder + "/in.jsonl:3: " + message), 0) << status;
    EXPECT_TRUE(ListFiles(folder + "/out")->empty());
  }
  EXPECT_EQ(EncodeJsonLines(tokenizer, folder, folder + "/out", 2).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(EncodeJsonLines(tokenizer, folder + "/none", folder + "/out", 2).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace millrace::data
