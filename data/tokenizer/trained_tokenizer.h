// A trained vocabulary as the files that Hugging Face's libraries load.
#ifndef MILLRACE_DATA_TOKENIZER_TRAINED_TOKENIZER_H_
#define MILLRACE_DATA_TOKENIZER_TRAINED_TOKENIZER_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/tokenizer_json.h"

namespace millrace::data {

// The special token of trained vocabularies, id 0: it ends a text and begins one.
inline constexpr absl::string_view kEndOfText = "<|end_of_text|>";

// Id 0 is kEndOfText, then the tokens of `trained`, each one up.
TokenizerDefinition DefinitionOf(const TrainedBpe& trained, const std::vector<SplitStep>& steps);

// tokenizer_config.json with what `transformers` needs to load a tokenizer.json beside it. "" for no end-of-text token.
std::string FormatTokenizerConfig(absl::string_view eos_token);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TRAINED_TOKENIZER_H_
