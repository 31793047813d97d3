// The byte alphabet of byte-level BPE: how tokens are written in tokenizer.json. A printable Latin-1 byte (33-126,
// 161-172, 174-255) stands as the character with its number, the other 68 as U+0100, U+0101, ... in order.
// Reference: GPT-2's encoder, bytes_to_unicode.
#ifndef MILLRACE_DATA_TOKENIZER_BYTE_LEVEL_H_
#define MILLRACE_DATA_TOKENIZER_BYTE_LEVEL_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace millrace::data {

// The character of each byte.
const std::array<uint32_t, 256>& ByteLevelAlphabet();
// The bytes in the order of their characters: '!' first. Trained vocabularies number them so.
const std::array<uint8_t, 256>& BytesInAlphabetOrder();

std::string ByteLevelText(absl::string_view bytes);
// nullopt: a character is none of the alphabet's. `text` is UTF-8.
std::optional<std::string> ByteLevelBytes(absl::string_view text);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_BYTE_LEVEL_H_
