// The regular expressions of Split pre-tokenizers. Hugging Face runs them with Oniguruma in Ruby's syntax; we run them
// with RE2, after writing every class out as code points (unicode_classes.h), so that both mean the same characters.
// What RE2 cannot do, or would do differently, is refused by name.
#ifndef MILLRACE_DATA_TOKENIZER_SPLIT_REGEX_H_
#define MILLRACE_DATA_TOKENIZER_SPLIT_REGEX_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/tokenizer/unicode_classes.h"

namespace millrace::data {

// `[set]+`, `\s?[set]+`, `[set]{1,3}`, `[set]`: what can be run without a regular expression engine.
struct ClassRun {
  bool optional_space = false;      // begins with `\s?`
  std::vector<CodePointRange> set;  // ascending, apart
  int at_most = 0;                  // characters of `set`; 0: any number
};

// nullopt: `pattern` is of another shape.
std::optional<ClassRun> ParseClassRun(absl::string_view pattern);

struct Re2Pattern {
  std::string pattern;
  // `pattern` ended in `\s+(?!\S)|\s+`, which RE2 cannot express. Instead its first group matches `\s+`; whoever runs
  // it gives back the last of two or more characters that the group matched, where a non-space follows.
  bool gives_back_last_space = false;
};

// Unimplemented: the pattern has something of which the message tells the name.
absl::StatusOr<Re2Pattern> TranslateToRe2(absl::string_view pattern);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_TOKENIZER_SPLIT_REGEX_H_
