// Text format's grammar: protobuf.dev, "Text Format Language Specification", sections on lexical elements.
#include "executor/graph/lexer.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"

namespace millrace {
namespace {

bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

Lexer::Lexer(absl::string_view text) : text_(text) {
  if (absl::StartsWith(text_, "\xEF\xBB\xBF")) position_ = counted_ = 3;
  Advance();
}

Token Lexer::Take() {
  Token token = next_;
  Advance();
  return token;
}

void Lexer::SkipSpace() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c == '\n') {
      ++position_;
      ++line_;
      counted_ = position_;
      column_ = 1;
      line_is_fresh_ = true;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
      ++position_;
    } else if (c == '#') {
      while (position_ < text_.size() && text_[position_] != '\n') ++position_;
    } else {
      return;
    }
  }
}

void Lexer::Advance() {
  SkipSpace();
  for (; counted_ < position_; ++counted_) column_ += !IsContinuation(text_[counted_]);
  next_.line = line_;
  next_.column = column_;
  next_.first_on_line = line_is_fresh_;
  line_is_fresh_ = false;
  const size_t begin = position_;
  if (begin == text_.size()) {
    next_.kind = Token::Kind::kEnd;
    next_.text = {};
    return;
  }
  const char c = text_[position_++];
  if (IsLetter(c)) {
    while (position_ < text_.size() && (IsLetter(text_[position_]) || IsDigit(text_[position_]))) ++position_;
    next_.kind = Token::Kind::kIdentifier;
  } else if (IsDigit(c) || (c == '.' && position_ < text_.size() && IsDigit(text_[position_]))) {
    const bool hex = c == '0' && position_ < text_.size() && (text_[position_] == 'x' || text_[position_] == 'X');
    while (position_ < text_.size()) {
      const char d = text_[position_];
      const bool exponent_sign =
          (d == '+' || d == '-') && !hex && (text_[position_ - 1] == 'e' || text_[position_ - 1] == 'E');
      if (!IsLetter(d) && !IsDigit(d) && d != '.' && !exponent_sign) break;
      ++position_;
    }
    next_.kind = Token::Kind::kNumber;
  } else if (c == '"' || c == '\'') {
    next_.kind = Token::Kind::kBad;
    while (position_ < text_.size() && text_[position_] != '\n') {
      const char d = text_[position_++];
      if (d == c) {
        next_.kind = Token::Kind::kString;
        break;
      }
      if (d == '\\' && position_ < text_.size() && text_[position_] != '\n') ++position_;
    }
  } else if (static_cast<unsigned char>(c) >= 0x80 || !absl::ascii_isprint(static_cast<unsigned char>(c))) {
    while (position_ < text_.size() && IsContinuation(text_[position_])) ++position_;
    next_.kind = Token::Kind::kBad;
  } else {
    next_.kind = Token::Kind::kSymbol;
  }
  next_.text = text_.substr(begin, position_ - begin);
}

bool UnescapeString(absl::string_view token, std::string& out, std::string& problem) {
  const absl::string_view body = token.substr(1, token.size() - 2);
  if (body.find('\\') == absl::string_view::npos) {
    out.append(body.data(), body.size());
    return true;
  }
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out += body[i];
      continue;
    }
    const char c = body[++i];
    switch (c) {
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'a':
        out += '\a';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'v':
        out += '\v';
        break;
      case '\\':
      case '\'':
      case '"':
      case '?':
        out += c;
        break;
      case 'x':
      case 'X': {
        int value = 0, digits = 0;
        while (digits < 2 && i + 1 < body.size() && HexValue(body[i + 1]) >= 0) {
          value = value * 16 + HexValue(body[++i]);
          ++digits;
        }
        if (digits == 0) {
          problem = "\\x without hexadecimal digits";
          return false;
        }
        out += static_cast<char>(value);
        break;
      }
      case 'u':
      case 'U': {
        const int wanted = c == 'u' ? 4 : 8;
        uint32_t code = 0;
        int digits = 0;
        while (digits < wanted && i + 1 < body.size() && HexValue(body[i + 1]) >= 0) {
          code = code * 16 + HexValue(body[++i]);
          ++digits;
        }
        if (digits < wanted || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
          problem = absl::StrCat("\\", absl::string_view(&c, 1), " needs ", wanted, " digits of a Unicode character");
          return false;
        }
        AppendUtf8(code, out);
        break;
      }
      default:
        if (c < '0' || c > '7') {
          problem = absl::StrCat("\\", absl::string_view(&c, 1), " is no escape of text format");
          return false;
        }
        int value = c - '0';
        for (int digits = 1; digits < 3 && i + 1 < body.size() && body[i + 1] >= '0' && body[i + 1] <= '7'; ++digits)
          value = value * 8 + (body[++i] - '0');
        out += static_cast<char>(value);
    }
  }
  return true;
}

bool IsUtf8(absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const unsigned char c = text[i];
    if (c < 0x80) {
      ++i;
      continue;
    }
    const int length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || i + length > text.size()) return false;
    uint32_t code = c & (0x7F >> length);
    for (int k = 1; k < length; ++k) {
      if (!IsContinuation(text[i + k])) return false;
      code = code << 6 | (text[i + k] & 0x3F);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    if (overlong || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    i += length;
  }
  return true;
}

}  // namespace millrace
