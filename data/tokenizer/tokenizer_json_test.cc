#include "data/tokenizer/tokenizer_json.h"

#include <gtest/gtest.h>

#include <functional>

#include "data/tokenizer/tokenizer_test_json.h"

namespace millrace::data {
namespace {

using Json = nlohmann::json;

TEST(TokenizerJsonTest, ReadsBothFormsOfMerges) {
  Json arrays = SmallTokenizerJson();
  arrays["model"]["merges"] = Json::parse(R"([["h", "e"], ["l", "l"], ["he", "ll"]])");
  for (const Json& json : {SmallTokenizerJson(), arrays}) {
    const absl::StatusOr<TokenizerDefinition> definition = ParseTokenizerJson(json.dump(), "t.json");
    ASSERT_TRUE(definition.ok()) << definition.status();
    const uint32_t e = definition->bpe.byte_ids['e'], h = definition->bpe.byte_ids['h'];
    const uint32_t l = definition->bpe.byte_ids['l'];
    EXPECT_EQ(definition->bpe.merges, (std::vector<BpeVocabulary::Merge>{{h, e, 256}, {l, l, 257}, {256, 257, 258}}));
    EXPECT_EQ(definition->steps, Gpt2Steps());
    EXPECT_EQ(definition->added_tokens,
              (std::vector<AddedToken>{{259, "<eos>", true, false}, {260, "<x>", false, true}}));
    EXPECT_EQ(definition->vocabulary.size(), 259);
  }
}

TEST(TokenizerJsonTest, ReadsWhatItWrites) {
  for (const std::vector<SplitStep>& steps :
       {Gpt2Steps(), DeepSeekLlmSteps(), DeepSeekCoderSteps(), DeepSeekV3Steps(),
        std::vector<SplitStep>{{SplitStep::Kind::kText, "ab"}, {SplitStep::Kind::kDigits, ""}},
        std::vector<SplitStep>{}}) {
    TokenizerDefinition definition = *ParseTokenizerJson(SmallTokenizerJson().dump(), "t.json");
    definition.steps = steps;
    definition.ignore_merges = true;
    const std::string json = FormatTokenizerJson(definition);
    const absl::StatusOr<TokenizerDefinition> again = ParseTokenizerJson(json, "t.json");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->steps, definition.steps);
    EXPECT_EQ(again->vocabulary, definition.vocabulary);
    EXPECT_EQ(again->bpe.merges, definition.bpe.merges);
    EXPECT_EQ(again->bpe.byte_ids, definition.bpe.byte_ids);
    EXPECT_EQ(again->added_tokens, definition.added_tokens);
    EXPECT_TRUE(again->ignore_merges);
    EXPECT_EQ(FormatTokenizerJson(*again), json);
  }
}

TEST(TokenizerJsonTest, AcceptsWhatChangesNoId) {
  const std::function<void(Json&)> changes[] = {
      [](Json& j) {
        j["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
      },
      [](Json& j) {
        j["post_processor"] = {{"type", "TemplateProcessing"}, {"single", Json::array()}};
      },
      [](Json& j) { j["decoder"] = nullptr; },
      [](Json& j) { j["model"]["dropout"] = 0.0; },
      [](Json& j) { j["model"]["unk_token"] = "h"; },
      [](Json& j) { j["model"].erase("type"); },
      [](Json& j) {
        j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {j["pre_tokenizer"]}}};
      },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    Json json = SmallTokenizerJson();
    changes[i](json);
    const absl::StatusOr<TokenizerDefinition> definition = ParseTokenizerJson(json.dump(), "t.json");
    EXPECT_TRUE(definition.ok()) << i << ": " << definition.status();
  }
}

TEST(TokenizerJsonTest, RefusesByName) {
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const auto sequence = [&](Json& j, Json first) {
    j["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {first, j["pre_tokenizer"]}}};
  };
  const struct {
    std::function<void(Json&)> change;
    const char* message;
  } cases[] = {
      {[](Json& j) {
         j["truncation"] = {{"max_length", 3}};
       },
       "truncation: {\"max_length\":3} is not supported"},
      {[](Json& j) {
         j["padding"] = {{"pad_id", 3}};
       },
       "padding: "},
      {[](Json& j) {
         j["normalizer"] = {{"type", "NFC"}};
       },
       "normalizer: \"NFC\" is not supported"},
      {[](Json& j) {
         j["post_processor"] = {{"type", "Odd"}};
       },
       "post_processor: \"Odd\""},
      {[](Json& j) {
         j["decoder"] = {{"type", "Metaspace"}};
       },
       "decoder: \"Metaspace\""},
      {[](Json& j) { j["model"]["type"] = "Unigram"; }, "model.type: \"Unigram\""},
      {[](Json& j) { j["model"]["dropout"] = 0.1; }, "model.dropout: 0.1"},
      {[](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "model.end_of_word_suffix: \"</w>\""},
      {[](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }, "pre_tokenizer.add_prefix_space: true"},
      {[](Json& j) {
         j["pre_tokenizer"] = {{"type", "Whitespace"}};
       },
       "pre_tokenizer.type: \"Whitespace\""},
      {[](Json& j) { j["pre_tokenizer"] = nullptr; }, "pre_tokenizer: one without ByteLevel"},
      {[&](Json& j) {
         Json removed = split;
         removed["behavior"] = "Removed";
         sequence(j, removed);
       },
       "pre_tokenizer[0].behavior: \"Removed\""},
      {[&](Json& j) {
         Json inverted = split;
         inverted["invert"] = true;
         sequence(j, inverted);
       },
       "pre_tokenizer[0].invert: true"},
      {[](Json& j) { j["added_tokens"][0]["lstrip"] = true; }, "added_tokens[0].lstrip: true (of \"<eos>\")"},
      {[](Json& j) { j["added_tokens"][1]["single_word"] = true; }, "added_tokens[1].single_word: true"},
      {[](Json& j) { j["added_tokens"][1]["id"] = 3; }, "added_tokens[1].id: 3 means another token in model.vocab"},
      {[](Json& j) { j["added_tokens"][1]["content"] = "<eos>"; }, "added_tokens[1]: \"<eos>\" is there twice"},
      {[](Json& j) { j["added_tokens"][1]["id"] = -1; }, "added_tokens[1].id: -1 is not an id"},
      {[](Json& j) { j["model"]["vocab"].erase("h"); }, "model.vocab: it lacks \"h\", the token of byte 104"},
      {[](Json& j) { j["model"]["vocab"]["zz"] = 256; }, "model.vocab: two tokens have the id 256"},
      {[](Json& j) { j["model"]["merges"][2] = "he lll"; }, "model.merges[2]: \"lll\" is not in model.vocab"},
      {[](Json& j) { j["model"]["merges"][2] = "he"; }, "model.merges[2]: not two tokens"},
      {[](Json& j) { j["model"]["merges"][2] = 5; }, "model.merges[2]: neither"},
      {[](Json& j) { j = Json::array(); }, "not a JSON object"},
  };
  for (const auto& c : cases) {
    Json json = SmallTokenizerJson();
    c.change(json);
    const absl::StatusOr<TokenizerDefinition> definition = ParseTokenizerJson(json.dump(), "t.json");
    ASSERT_FALSE(definition.ok()) << c.message;
    const std::string message(definition.status().message());
    EXPECT_EQ(message.find("t.json: "), 0) << message;
    EXPECT_NE(message.find(c.message), std::string::npos) << message << "\nexpected: " << c.message;
    EXPECT_NE(message.find("\n  fix: "), std::string::npos) << message;
  }
  EXPECT_EQ(ParseTokenizerJson("{\"a\": \xFF}", "t.json").status().message(), "t.json: not UTF-8");
}

}  // namespace
}  // namespace millrace::data
