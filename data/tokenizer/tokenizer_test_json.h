// A small tokenizer.json for tests, and changed ones.
#ifndef MILLRACE_DATA_TOKENIZER_TOKENIZER_TEST_JSON_H_
#define MILLRACE_DATA_TOKENIZER_TOKENIZER_TEST_JSON_H_

#include <nlohmann/json.hpp>
#include <string>

#include "data/tokenizer/byte_level.h"

namespace millrace::data {

// GPT-2's pieces; the bytes have the ids 0 to 255 in alphabet order; merges "h e" (256), "l l" (257), "he ll" (258),
// "Ġ hell" is not there; added tokens "<eos>" (special, 259) and "<x>" (260).
inline nlohmann::json SmallTokenizerJson() {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (int i = 0; i < 256; ++i)
    vocabulary[ByteLevelText(std::string(1, static_cast<char>(BytesInAlphabetOrder()[i])))] = i;
  vocabulary["he"] = 256;
  vocabulary["ll"] = 257;
  vocabulary["hell"] = 258;
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens",
       {{{"id", 259}, {"content", "<eos>"}, {"special", true}, {"normalized", false}},
        {{"id", 260}, {"content", "<x>"}, {"special", false}, {"normalized", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"h e", "l l", "he ll"}}}},
  };
}

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TOKENIZER_TEST_JSON_H_
