// tokenizer.json, as Hugging Face's `tokenizers` writes and reads it: byte-level BPE, without normalization.
//
// What the file asks for and we would not do is an error by name (Unimplemented), never left out in silence: another
// model or pre-tokenizer, a normalizer, truncation, padding, dropout, added tokens that take spaces with them. What
// cannot change encode(text, add_special_tokens=False) is accepted: post-processors (they add tokens only where those
// are asked for, or trim offsets), and the unknown token (with 256 byte tokens nothing is unknown).
#ifndef MILLRACE_DATA_TOKENIZER_TOKENIZER_JSON_H_
#define MILLRACE_DATA_TOKENIZER_TOKENIZER_JSON_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/pre_tokenizer.h"

namespace millrace::data {

// A token that is looked for in the text before anything else.
struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;  // looked for only between those that are not
  friend bool operator==(const AddedToken&, const AddedToken&) = default;
};

struct TokenizerDefinition {
  std::vector<SplitStep> steps;
  std::vector<std::pair<std::string, uint32_t>> vocabulary;  // as written in the file, by id
  BpeVocabulary bpe;
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
  std::vector<AddedToken> added_tokens;
};

// Errors name `path` and the field. InvalidArgument: not such a file, or one that contradicts itself.
absl::StatusOr<TokenizerDefinition> ParseTokenizerJson(absl::string_view json, absl::string_view path);

// `definition` in a form that `tokenizers` 0.13 and later load. Same definition, same bytes.
std::string FormatTokenizerJson(const TokenizerDefinition& definition);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_TOKENIZER_JSON_H_
