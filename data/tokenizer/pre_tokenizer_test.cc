#include "data/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "base/utf8.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

std::vector<std::string> PiecesOf(const PreTokenizer& pre_tokenizer, const std::string& text) {
  std::vector<std::string> pieces;
  pre_tokenizer.ForEachPiece(text, [&](absl::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

// The same without the splitters of whole sequences.
std::vector<std::string> PiecesByPasses(const std::vector<SplitStep>& steps, const std::string& text) {
  std::vector<absl::string_view> pieces = {text};
  if (text.empty()) pieces.clear();
  for (const SplitStep& step : steps) {
    const std::unique_ptr<SplitPass> pass = *MakeSplitPass(step);
    std::vector<absl::string_view> next;
    for (const absl::string_view piece : pieces) pass->Split(piece, next);
    pieces = next;
  }
  return std::vector<std::string>(pieces.begin(), pieces.end());
}

std::vector<std::string> Cut(const std::string& text, const std::vector<int>& characters) {
  std::vector<std::string> pieces;
  size_t p = 0;
  for (const int count : characters) {
    const size_t begin = p;
    for (int i = 0; i < count; ++i) p += Utf8Length(text[p]);
    pieces.push_back(text.substr(begin, p - begin));
  }
  return pieces;
}

std::map<std::string, std::vector<SplitStep>> NamedSteps() {
  return {{"gpt2", Gpt2Steps()},
          {"deepseek_llm", DeepSeekLlmSteps()},
          {"deepseek_coder", DeepSeekCoderSteps()},
          {"deepseek_v3", DeepSeekV3Steps()}};
}

TEST(PreTokenizerTest, CutsAsHuggingFaceDoes) {
  std::ifstream file("data/tokenizer/testdata/pre_tokenizer/pieces.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  std::map<std::string, std::vector<SplitStep>> named = NamedSteps();
  const nlohmann::json others = nlohmann::json::parse(line);
  for (const auto& [name, steps] : others.items()) {
    for (const auto& step : steps) {
      const std::string kind = step[0];
      named[name].push_back({kind == "regex"    ? SplitStep::Kind::kRegex
                             : kind == "text"   ? SplitStep::Kind::kText
                             : kind == "digits" ? SplitStep::Kind::kDigits
                                                : SplitStep::Kind::kIndividualDigits,
                             step[1]});
    }
  }
  int rows = 0;
  std::map<std::string, PreTokenizer> pre_tokenizers;
  for (const auto& [name, steps] : named) {
    absl::StatusOr<PreTokenizer> pre_tokenizer = PreTokenizer::Create(steps);
    ASSERT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.status();
    pre_tokenizers.emplace(name, *std::move(pre_tokenizer));
  }
  for (; std::getline(file, line); ++rows) {
    const nlohmann::json row = nlohmann::json::parse(line);
    const std::string text = row["text"];
    for (const auto& [name, pre_tokenizer] : pre_tokenizers) {
      ASSERT_EQ(PiecesOf(pre_tokenizer, text), Cut(text, row.at(name))) << name << ": " << row["text"];
    }
  }
  EXPECT_EQ(rows, 600);
}

TEST(PreTokenizerTest, SplittersAndPassesAgree) {
  const uint32_t kPool[] = {'a',    'Z',    '0',    ' ',    '\n',   '\r',   '\t',   '.',    '\'',     's',     0x85,
                            0x301,  0x378,  0x1C,   0x3000, 0x3040, 0x309B, 0x30FB, 0x4E2D, 0x10FFFF, 0x1F600, 0xBD,
                            0x9FA5, 0x9FA6, 0xAC00, 0x200B, 0xE9,   '$',    0xFF0C, 'l',    0x660,    0x2028};
  const unsigned seed = 7;
  std::mt19937 random(seed);
  for (const auto& [name, steps] : NamedSteps()) {
    const PreTokenizer pre_tokenizer = *PreTokenizer::Create(steps);
    for (int round = 0; round < 300; ++round) {
      std::string text;
      const int length = random() % 60;
      const int variety = 2 + random() % std::size(kPool);
      for (int i = 0; i < length; ++i) AppendUtf8(kPool[(random() % variety + round) % std::size(kPool)], text);
      const std::vector<std::string> pieces = PiecesOf(pre_tokenizer, text);
      ASSERT_EQ(pieces, PiecesByPasses(steps, text)) << name << " seed " << seed << " round " << round;
      std::string whole;
      for (const std::string& piece : pieces) {
        ASSERT_FALSE(piece.empty());
        whole += piece;
      }
      ASSERT_EQ(whole, text);
    }
  }
}

TEST(PreTokenizerTest, RefusesByName) {
  const absl::StatusOr<PreTokenizer> refused = PreTokenizer::Create({{SplitStep::Kind::kRegex, "a(?!b)"}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(refused.status().message(), "pattern \"a(?!b)\": (?!b...) is not supported in a Split pattern");
}

}  // namespace
}  // namespace millrace::data
