#include "data/filter/text_statistics.h"

#include <algorithm>
#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "data/corpus/unicode.h"

namespace millrace::data {
namespace {

template <typename Visit>
void ForEachLine(absl::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const void* newline = std::memchr(text.data(), '\n', text.size());
    const size_t size = newline == nullptr ? text.size() : static_cast<const char*>(newline) - text.data();
    visit(text.substr(0, size > 0 && newline != nullptr && text[size - 1] == '\r' ? size - 1 : size));
    text.remove_prefix(newline == nullptr ? size : size + 1);
  }
}

}  // namespace

int64_t CountWords(absl::string_view text) {
  int64_t words = 0;
  ForEachWord(text, [&](absl::string_view) { ++words; });
  return words;
}

int64_t CountCharacters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

double RepeatedLineFraction(absl::string_view text) {
  absl::flat_hash_set<absl::string_view> seen;
  int64_t lines = 0, repeated = 0;
  ForEachLine(text, [&](absl::string_view line) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) return;
    ++lines;
    repeated += !seen.insert(line).second;
  });
  return lines == 0 ? 0 : static_cast<double>(repeated) / lines;
}

double ReplacementCharacterFraction(absl::string_view text) {
  constexpr absl::string_view kReplacement = "\xef\xbf\xbd";
  int64_t replacements = 0;
  for (size_t at = text.find(kReplacement); at != absl::string_view::npos; at = text.find(kReplacement, at + 3))
    ++replacements;
  return replacements == 0 ? 0 : static_cast<double>(replacements) / CountCharacters(text);
}

double AlphabeticFraction(absl::string_view text) {
  if (text.empty()) return 0;
  const uint8_t* const classes = CodePointClasses();
  const char* p = text.data();
  const char* const end = p + text.size();
  int64_t characters = 0, letters = 0;
  for (; p != end; ++characters) {
    const uint32_t c = static_cast<uint8_t>(*p) < 0x80 ? static_cast<uint8_t>(*p++) : NextCodePoint(p, end);
    if (c < kClassifiedCodePoints) letters += (classes[c] & kLetter) != 0;
  }
  return static_cast<double>(letters) / characters;
}

int64_t MaxLineCharacters(absl::string_view text) {
  int64_t longest = 0;
  ForEachLine(text, [&](absl::string_view line) {
    if (line.size() > longest) longest = std::max(longest, CountCharacters(line));
  });
  return longest;
}

double MeanLineCharacters(absl::string_view text) {
  int64_t lines = 0, characters = 0;
  ForEachLine(text, [&](absl::string_view line) {
    ++lines;
    characters += CountCharacters(line);
  });
  return lines == 0 ? 0 : static_cast<double>(characters) / lines;
}

}  // namespace millrace::data
