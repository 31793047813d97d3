#include "data/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "base/utf8.h"
#include "data/tokenizer/tokenizer_test_json.h"

namespace millrace::data {
namespace {

Tokenizer Small(const std::function<void(nlohmann::json&)>& change = [](nlohmann::json&) {}) {
  nlohmann::json json = SmallTokenizerJson();
  change(json);
  return *Tokenizer::Create(*ParseTokenizerJson(json.dump(), "t.json"));
}

std::vector<uint32_t> Bytes(const std::string& text) {
  std::vector<uint32_t> ids;
  for (const char c : text) {
    for (uint32_t i = 0; i < 256; ++i) {
      if (BytesInAlphabetOrder()[i] == static_cast<uint8_t>(c)) ids.push_back(i);
    }
  }
  return ids;
}

std::vector<uint32_t> Joined(std::vector<std::vector<uint32_t>> parts) {
  std::vector<uint32_t> all;
  for (const std::vector<uint32_t>& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(TokenizerTest, EncodesAndDecodes) {
  const Tokenizer tokenizer = Small();
  EXPECT_EQ(tokenizer.vocab_size(), 261);
  EXPECT_EQ(tokenizer.merges(), 3);
  EXPECT_FALSE(tokenizer.eos_id().has_value());
  EXPECT_EQ(tokenizer.Encode("hello", SpecialTokens::kRecognised), Joined({{258}, Bytes("o")}));
  EXPECT_EQ(tokenizer.Encode("", SpecialTokens::kRecognised), std::vector<uint32_t>());
  EXPECT_EQ(tokenizer.Decode({258, 259, 260, 9999}), "hell<eos><x>");
  EXPECT_EQ(tokenizer.TokenBytes(261), nullptr);
}

TEST(TokenizerTest, SpecialTokens) {
  const Tokenizer tokenizer = Small();
  const std::string text = "he<eos><x>ll";
  EXPECT_EQ(tokenizer.Encode(text, SpecialTokens::kRecognised), (std::vector<uint32_t>{256, 259, 260, 257}));
  EXPECT_EQ(tokenizer.Encode(text, SpecialTokens::kAsText), Joined({{256}, Bytes("<eos>"), {260}, {257}}));
}

TEST(TokenizerTest, IgnoreMerges) {
  const Tokenizer tokenizer = Small([](nlohmann::json& json) {
    json["model"]["ignore_merges"] = true;
    json["model"]["vocab"]["lo"] = 300;  // no merge makes it
  });
  EXPECT_EQ(tokenizer.Encode("lo", SpecialTokens::kAsText), (std::vector<uint32_t>{300}));
  EXPECT_EQ(tokenizer.Encode("xlo", SpecialTokens::kAsText), Bytes("xlo"));
}

TEST(TokenizerTest, WhatIsNotUtf8) {
  const Tokenizer tokenizer = Small();
  EXPECT_EQ(tokenizer.Encode("he\xFFll", SpecialTokens::kAsText),
            tokenizer.Encode("he\uFFFDll", SpecialTokens::kAsText));
}

TEST(TokenizerTest, EndOfTextFromTheConfig) {
  const std::string folder = *MakeTempDirectory("tokenizer");
  ASSERT_TRUE(WriteFile(folder + "/tokenizer.json", SmallTokenizerJson().dump()).ok());
  EXPECT_FALSE(Tokenizer::Load(folder)->eos_id().has_value());
  const struct {
    const char* config;
    int eos;  // -1: an error
  } cases[] = {{R"({"eos_token": "<eos>"})", 259},
               {R"({"eos_token": {"content": "<x>"}})", 260},
               {R"({"eos_token": "<none>"})", -1},
               {R"({"eos_token": 3})", -1},
               {"[]", -1}};
  for (const auto& c : cases) {
    ASSERT_TRUE(WriteFile(folder + "/tokenizer_config.json", c.config).ok());
    for (const std::string& path : {folder, folder + "/tokenizer.json"}) {
      const absl::StatusOr<Tokenizer> tokenizer = Tokenizer::Load(path);
      ASSERT_EQ(tokenizer.ok(), c.eos >= 0) << c.config;
      if (c.eos >= 0) {
        EXPECT_EQ(tokenizer->eos_id(), c.eos) << c.config;
      }
    }
  }
  EXPECT_EQ(Tokenizer::Load(folder + "/nothing").status().code(), absl::StatusCode::kNotFound);
}

TEST(TokenizerTest, RandomTextComesBackAndTheCacheChangesNothing) {
  const unsigned seed = 5;
  std::mt19937 random(seed);
  const auto text_of = [&](int length) {
    const uint32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
    std::string text;
    for (int i = 0; i < length; ++i) {
      uint32_t c = random() % limits[random() % 4];
      if (c >= 0xD800 && c <= 0xDFFF) c = 'h';
      if (random() % 4 == 0) {
        text += "hell";
      } else {
        AppendUtf8(c, text);
      }
    }
    return text;
  };
  for (const auto& steps : {Gpt2Steps(), DeepSeekV3Steps(), DeepSeekLlmSteps(), DeepSeekCoderSteps()}) {
    TokenizerDefinition definition = *ParseTokenizerJson(SmallTokenizerJson().dump(), "t.json");
    definition.steps = steps;
    const Tokenizer tokenizer = *Tokenizer::Create(definition);
    Encoder warm(tokenizer);
    warm.Encode(text_of(8000), SpecialTokens::kAsText);
    for (int round = 0; round < 200; ++round) {
      const std::string text = text_of(random() % 100);
      const absl::Span<const uint32_t> ids = warm.Encode(text, SpecialTokens::kAsText);
      ASSERT_EQ(tokenizer.Decode(ids), text) << "seed " << seed << " round " << round;
      ASSERT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), tokenizer.Encode(text, SpecialTokens::kAsText));
    }
  }
}

}  // namespace
}  // namespace millrace::data
