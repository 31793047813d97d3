#include "data/tokenizer/trained_tokenizer.h"

#include <nlohmann/json.hpp>

#include "data/tokenizer/byte_level.h"

namespace millrace::data {

TokenizerDefinition DefinitionOf(const TrainedBpe& trained, const std::vector<SplitStep>& steps) {
  TokenizerDefinition definition;
  definition.steps = steps;
  definition.added_tokens.push_back({.id = 0, .content = std::string(kEndOfText), .special = true});
  definition.vocabulary.emplace_back(kEndOfText, 0);
  for (uint32_t i = 0; i < trained.tokens.size(); ++i)
    definition.vocabulary.emplace_back(ByteLevelText(trained.tokens[i]), i + 1);
  for (uint32_t i = 0; i < 256; ++i) definition.bpe.byte_ids[BytesInAlphabetOrder()[i]] = i + 1;
  for (const TrainedBpe::Merge& merge : trained.merges)
    definition.bpe.merges.push_back({merge.left + 1, merge.right + 1, merge.result + 1});
  return definition;
}

std::string FormatTokenizerConfig(absl::string_view eos_token) {
  nlohmann::ordered_json config = {
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"add_prefix_space", false},
      {"clean_up_tokenization_spaces", false},
      {"model_max_length", 1000000000},
  };
  if (!eos_token.empty()) config["bos_token"] = config["eos_token"] = std::string(eos_token);
  return config.dump(2) + "\n";
}

}  // namespace millrace::data
