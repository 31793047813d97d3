// What the rules of the `filter` stage measure. Characters are code points; a line ends with LF (a CR before it is not
// of the line), and a final LF begins no further line. Text is UTF-8. O(size of the text); thread-safe.
#ifndef MILLRACE_DATA_FILTER_TEXT_STATISTICS_H_
#define MILLRACE_DATA_FILTER_TEXT_STATISTICS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace millrace::data {

// Words as in data/corpus/unicode.h: runs of letters and numbers; an ideograph is one by itself.
int64_t CountWords(absl::string_view text);

int64_t CountCharacters(absl::string_view text);

// Of the lines that are not empty (white space at the ends aside), those that stood before in the text. 0 if there are
// none.
double RepeatedLineFraction(absl::string_view text);

// U+FFFD, of characters; letters (\p{L}), of characters. 0 for an empty text.
double ReplacementCharacterFraction(absl::string_view text);
double AlphabeticFraction(absl::string_view text);

// The longest line, and the mean over all lines (empty ones too). 0 for an empty text.
int64_t MaxLineCharacters(absl::string_view text);
double MeanLineCharacters(absl::string_view text);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_FILTER_TEXT_STATISTICS_H_
