// Tokens of Protobuf's text format. Never fails: what is no token is one of kind kBad, for the parser to report.
#ifndef MILLRACE_EXECUTOR_GRAPH_LEXER_H_
#define MILLRACE_EXECUTOR_GRAPH_LEXER_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace millrace {

struct Token {
  enum class Kind {
    kEnd,
    kIdentifier,
    kNumber,  // without a sign; also malformed ones, which reading the number finds
    kString,  // with its quotes
    kSymbol,  // one character
    kBad,     // a string that its line does not end; a character that cannot be there
  };
  Kind kind = Kind::kEnd;
  absl::string_view text;
  int line = 0;    // from 1
  int column = 0;  // from 1, in characters (a tab is one)
  bool first_on_line = false;

  bool Is(char symbol) const { return kind == Kind::kSymbol && text[0] == symbol; }
};

class Lexer {
 public:
  // `text` outlives the lexer. A byte order mark is skipped.
  explicit Lexer(absl::string_view text);

  const Token& peek() const { return next_; }
  Token Take();

 private:
  void Advance();
  void SkipSpace();

  absl::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  size_t counted_ = 0;  // up to here the characters of the line are counted in column_
  int column_ = 1;
  bool line_is_fresh_ = true;
  Token next_;
};

// Appends what the string token (with its quotes) stands for. False: it has an escape that text format does not know;
// `problem` then names it.
bool UnescapeString(absl::string_view token, std::string& out, std::string& problem);

// Whether `text` is well-formed UTF-8 (RFC 3629).
bool IsUtf8(absl::string_view text);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_GRAPH_LEXER_H_
