// Recursive descent. A field that cannot be read is reported, its value skipped, and its message marked as damaged, so
// that later checks do not report what follows from it. Where not even the end of a value can be told, parsing goes on
// at the next line that begins with a name.
#include "executor/graph/parse.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "executor/graph/lexer.h"
#include "executor/graph/retired.h"

namespace millrace {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

constexpr int kMaxDepth = 64;
constexpr size_t kListFieldsUpTo = 14;

// "AdamW" of "Optimizer.AdamW".
absl::string_view ShortName(const MessageFacts& type) {
  const size_t dot = type.name.rfind('.');
  return dot == std::string::npos ? absl::string_view(type.name) : absl::string_view(type.name).substr(dot + 1);
}

std::vector<std::string> FieldNames(const MessageFacts& type) {
  std::vector<std::string> names;
  for (const FieldFacts& field : type.fields) names.push_back(field.name);
  return names;
}

std::vector<std::string> EnumNames(const EnumDescriptor* type) {
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) names.push_back(type->value(i)->name());
  return names;
}

// "optimizer { adamw { learning_rate: ... } }" where a message within `type` has the field; "" where none has.
std::string InsideOf(const MessageFacts& type, absl::string_view name, int depth) {
  for (const FieldFacts& field : type.fields) {
    if (!field.is_message()) continue;
    if (const FieldFacts* found = field.message->Find(name); found != nullptr) {
      return absl::StrCat(field.name, " { ", name, found->is_message() ? " { ... } }" : ": ... }");
    }
  }
  if (depth == 0) return "";
  for (const FieldFacts& field : type.fields) {
    if (!field.is_message()) continue;
    if (const std::string inner = InsideOf(*field.message, name, depth - 1); !inner.empty())
      return absl::StrCat(field.name, " { ", inner, " }");
  }
  return "";
}

std::string Shown(const Token& token) {
  if (token.kind == Token::Kind::kEnd) return "the end of the file";
  if (token.kind == Token::Kind::kString || token.kind == Token::Kind::kBad) return std::string(token.text);
  return absl::StrCat("`", token.text, "`");
}

// What a scalar field takes, and an example of it.
std::string Wanted(const FieldFacts& field) {
  switch (field.type) {
    case FieldDescriptor::CPPTYPE_STRING:
      return "a string in double quotes";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", absl::StrJoin(EnumNames(field.descriptor->enum_type()), ", "));
    default:
      return "a whole number";
  }
}

class Parser {
 public:
  Parser(absl::string_view text, const Sources& sources, int source, Diagnostics& diagnostics)
      : lexer_(text), sources_(sources), source_(source), diagnostics_(diagnostics) {}

  // Errors are reported here whatever the token (a flag has no lines).
  void FixPlace(Place place) {
    fixed_ = true;
    fixed_place_ = place;
  }

  ParseResult Run(const MessageFacts& type) {
    ParseResult result;
    result.root = std::make_unique<Node>(&type, Place{source_, 0, 0});
    ParseFields(*result.root, 0, Token(), 0);
    result.structure_is_lost = structure_is_lost_;
    return result;
  }

  // A field's value after its name (and `:`), up to the end of the text.
  bool RunValue(const FieldFacts& field, std::vector<Value>& out) {
    Node holder(nullptr);
    if (field.is_message()) {
      ParseMessages(field, PlaceOf(lexer_.peek()), holder, 0);
    } else {
      ParseScalars(field, PlaceOf(lexer_.peek()), holder);
    }
    if (!failed_ && lexer_.peek().kind != Token::Kind::kEnd) {
      SyntaxError(lexer_.peek(), absl::StrCat("unexpected ", Shown(lexer_.peek()), " after the value"), "", "");
    }
    if (failed_) return false;
    for (Value& value : holder.values) out.push_back(std::move(value));
    return true;
  }

 private:
  Place PlaceOf(const Token& token) const { return fixed_ ? fixed_place_ : Place{source_, token.line, token.column}; }

  void Error(Place place, std::string what, std::string why, std::string fix) {
    failed_ = true;
    diagnostics_.AddError(sources_.At(place), std::move(what), std::move(why), std::move(fix));
  }

  void SyntaxError(const Token& token, std::string what, std::string why, std::string fix) {
    structure_is_lost_ = true;
    Error(PlaceOf(token), std::move(what), std::move(why), std::move(fix));
  }

  bool Accept(char symbol) {
    if (!lexer_.peek().Is(symbol)) return false;
    lexer_.Take();
    return true;
  }

  // Up to a line that begins with a name, or the brace that closes this message.
  void Resynchronize() {
    int depth = 0;
    while (lexer_.peek().kind != Token::Kind::kEnd) {
      const Token& token = lexer_.peek();
      if (depth == 0 && (token.Is('}') || token.Is('>'))) return;
      if (depth == 0 && token.first_on_line && token.kind == Token::Kind::kIdentifier) return;
      if (token.Is('{')) ++depth;
      if (token.Is('}')) --depth;
      lexer_.Take();
    }
  }

  // From an opening bracket to the one that closes it.
  void SkipBlock() {
    const Token open = lexer_.peek();
    int depth = 0;
    do {
      const Token token = lexer_.Take();
      if (token.kind == Token::Kind::kEnd) {
        NeverClosed(open);
        return;
      }
      if (token.Is('{') || token.Is('[') || token.Is('<')) ++depth;
      if (token.Is('}') || token.Is(']') || token.Is('>')) --depth;
    } while (depth > 0);
  }

  void SkipValue() {
    const Token& token = lexer_.peek();
    if (token.Is('{') || token.Is('[') || token.Is('<')) {
      SkipBlock();
    } else if (token.kind == Token::Kind::kString) {
      while (lexer_.peek().kind == Token::Kind::kString) lexer_.Take();
    } else {
      Accept('-');
      const Token::Kind kind = lexer_.peek().kind;
      if (kind == Token::Kind::kNumber || kind == Token::Kind::kIdentifier || kind == Token::Kind::kBad) lexer_.Take();
    }
  }

  void NeverClosed(const Token& open) {
    SyntaxError(open, absl::StrCat("`", open.text, "` is never closed"), "the file ends before it is",
                absl::StrCat("a `",
                             open.Is('[')   ? "]"
                             : open.Is('<') ? ">"
                                            : "}",
                             "` where this ends"));
  }

  // `close` 0: up to the end of the text.
  void ParseFields(Node& node, char close, const Token& open, int depth) {
    if (depth > kMaxDepth) {
      SyntaxError(open, "messages within messages, more than 64 deep", "", "");
      SkipToEnd();
      return;
    }
    while (true) {
      const Token& token = lexer_.peek();
      if (token.kind == Token::Kind::kEnd) {
        if (close != 0) NeverClosed(open);
        return;
      }
      if (close != 0 && token.Is(close)) {
        lexer_.Take();
        return;
      }
      if (token.kind == Token::Kind::kIdentifier) {
        ParseField(node, depth);
        continue;
      }
      const Token bad = lexer_.Take();
      if (bad.Is('}') || bad.Is('>')) {
        SyntaxError(bad, absl::StrCat("`", bad.text, "` closes nothing"), "no message is open here", "");
        continue;
      }
      node.damaged = true;
      if (bad.Is('[')) {
        SyntaxError(bad, "expected a field name, found `[`", "the vocabulary has no extensions", "");
      } else {
        SyntaxError(bad, absl::StrCat("expected a field name, found ", Shown(bad)), "", "");
      }
      Resynchronize();
    }
  }

  void SkipToEnd() {
    while (lexer_.peek().kind != Token::Kind::kEnd) lexer_.Take();
  }

  void ParseField(Node& node, int depth) {
    const Token name = lexer_.Take();
    const FieldFacts* field = node.type->Find(name.text);
    const bool colon = Accept(':');
    if (field == nullptr) {
      UnknownField(*node.type, name);
      node.damaged = true;
      const bool block = lexer_.peek().Is('{') || lexer_.peek().Is('<');
      if (colon || block) SkipValue();
    } else {
      failed_ = false;
      if (field->is_message()) {
        ParseMessages(*field, PlaceOf(name), node, depth);
      } else if (!colon) {
        MissingColon(*field, name);
      } else {
        ParseScalars(*field, PlaceOf(name), node);
      }
      node.damaged |= failed_;
    }
    if (!Accept(';')) Accept(',');
  }

  void MissingColon(const FieldFacts& field, const Token& name) {
    const Token& token = lexer_.peek();
    if (token.Is('{') || token.Is('<')) {
      Error(PlaceOf(name), absl::StrCat("`", field.name, "` is no message"), absl::StrCat("it takes ", Wanted(field)),
            absl::StrCat(field.name, ": ..."));
      SkipBlock();
      return;
    }
    SyntaxError(name, absl::StrCat("expected `:` after `", field.name, "`, found ", Shown(token)), "",
                absl::StrCat(field.name, ": ..."));
    if (token.kind == Token::Kind::kString || token.kind == Token::Kind::kNumber) {
      SkipValue();
    } else {
      Resynchronize();
    }
  }

  void UnknownField(const MessageFacts& type, const Token& name) {
    const absl::string_view message = ShortName(type);
    if (const auto retired = FindRetired(type.name, name.text); retired.has_value()) {
      Error(PlaceOf(name),
            retired->since.empty()
                ? absl::StrCat(message, ".", name.text, " is a word kept for a later version")
                : absl::StrCat(message, ".", name.text, " is retired since version ", retired->since),
            "it would change nothing here, so it is refused", retired->remedy);
      return;
    }
    const std::vector<std::string> names = FieldNames(type);
    std::string why = "the schema is closed, so that a typo is never a default";
    std::string fix = Closest(name.text, names);
    if (fix.empty()) {
      if (const std::string inside = InsideOf(type, name.text, 3); !inside.empty()) {
        fix = absl::StrCat("it is a field of what is in ", message, ": ", inside);
      } else if (names.size() <= kListFieldsUpTo) {
        absl::StrAppend(&why, "; ", message, names.empty() ? " has no fields" : " has ", absl::StrJoin(names, ", "));
      }
    }
    Error(PlaceOf(name), absl::StrCat(message, " has no field \"", name.text, "\""), std::move(why), std::move(fix));
  }

  void ParseMessages(const FieldFacts& field, Place place, Node& node, int depth) {
    if (lexer_.peek().Is('[') && field.repeated) {
      const Token open = lexer_.Take();
      if (Accept(']')) return;
      do {
        ParseMessage(field, PlaceOf(lexer_.peek()), node, depth);
      } while (Accept(','));
      CloseList(open);
      return;
    }
    ParseMessage(field, place, node, depth);
  }

  void CloseList(const Token& open) {
    if (Accept(']')) return;
    if (lexer_.peek().kind == Token::Kind::kEnd) {
      NeverClosed(open);
      return;
    }
    SyntaxError(lexer_.peek(), absl::StrCat("expected `,` or `]`, found ", Shown(lexer_.peek())), "", "");
    Resynchronize();
  }

  void ParseMessage(const FieldFacts& field, Place place, Node& node, int depth) {
    const Token open = lexer_.peek();
    if (!open.Is('{') && !open.Is('<')) {
      Error(place, absl::StrCat("`", field.name, "` is a message: expected `{`, found ", Shown(open)),
            field.message->fields.empty()
                ? "it has no fields"
                : absl::StrCat("its fields are ", absl::StrJoin(FieldNames(*field.message), ", ")),
            absl::StrCat(field.name, " { ... }"));
      const bool bracket = open.Is('}') || open.Is('>') || open.Is(']');
      if (!bracket) SkipValue();
      return;
    }
    lexer_.Take();
    Value value(&field, place);
    value.message = std::make_unique<Node>(field.message, place);
    const bool failed = failed_;
    ParseFields(*value.message, open.Is('{') ? '}' : '>', open, depth + 1);
    failed_ = failed;  // what is wrong within is not wrong with this field
    Append(std::move(value), node);
  }

  // Adds the value, unless the field, or another member of its oneof, has one.
  void Append(Value value, Node& node) {
    const FieldFacts& field = *value.field;
    if (node.type != nullptr && !field.repeated) {
      for (const Value& other : node.values) {
        if (other.field == &field) {
          Error(value.place, absl::StrCat("`", field.name, "` is set twice"),
                absl::StrCat("the first is in line ", other.place.line, "; which one counts would be a guess"),
                "leave one of them");
          return;
        }
        if (field.oneof >= 0 && other.field->oneof == field.oneof) {
          Error(value.place,
                absl::StrCat("`", field.name, "` and `", other.field->name, "` (line ", other.place.line,
                             ") exclude each other"),
                absl::StrCat(ShortName(*node.type), " takes one of them"), "leave one of them");
          return;
        }
      }
    }
    node.values.push_back(std::move(value));
  }

  void ParseScalars(const FieldFacts& field, Place place, Node& node) {
    if (!lexer_.peek().Is('[')) {
      ParseScalar(field, place, node);
      return;
    }
    if (!field.repeated) {
      Error(place, absl::StrCat("`", field.name, "` takes one value, not a list"), "",
            absl::StrCat(field.name, ": ..."));
      SkipBlock();
      return;
    }
    const Token open = lexer_.Take();
    if (Accept(']')) return;
    do {
      ParseScalar(field, PlaceOf(lexer_.peek()), node);
    } while (Accept(','));
    CloseList(open);
  }

  void ParseScalar(const FieldFacts& field, Place place, Node& node) {
    const Token first = lexer_.peek();
    if (first.kind == Token::Kind::kBad) {
      lexer_.Take();
      if (first.text[0] == '"' || first.text[0] == '\'') {
        SyntaxError(first, "the string is not closed in its line", "a string ends where it begins",
                    absl::StrCat(first.text, first.text.substr(0, 1)));
      } else {
        SyntaxError(first, absl::StrCat("unexpected character ", first.text), "", "");
        Resynchronize();
      }
      return;
    }
    if (first.Is('{') || first.Is('<')) {
      WrongType(field, place, "a message", "");
      SkipBlock();
      return;
    }
    const bool minus = Accept('-');
    const Token token = lexer_.peek();
    if (token.kind != Token::Kind::kString && token.kind != Token::Kind::kNumber &&
        token.kind != Token::Kind::kIdentifier) {
      SyntaxError(token, absl::StrCat("`", field.name, "` has no value"), absl::StrCat("it takes ", Wanted(field)), "");
      if (token.kind == Token::Kind::kSymbol && !token.Is('}') && !token.Is(']') && !token.Is('>')) Resynchronize();
      return;
    }
    lexer_.Take();
    Value value(&field, place);
    bool good = false;
    switch (field.type) {
      case FieldDescriptor::CPPTYPE_STRING:
        good = ReadString(field, place, token, minus, value);
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        good = ReadBool(field, place, token, minus, value);
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        good = ReadEnum(field, place, token, minus, value);
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        good = ReadReal(field, place, token, minus, value);
        break;
      default:
        good = ReadInteger(field, place, token, minus, value);
    }
    if (good) Append(std::move(value), node);
  }

  void WrongType(const FieldFacts& field, Place place, absl::string_view found, std::string fix) {
    Error(place, absl::StrCat("`", field.name, "` takes ", Wanted(field), ", not ", found), "", std::move(fix));
  }

  bool ReadString(const FieldFacts& field, Place place, const Token& token, bool minus, Value& value) {
    if (token.kind != Token::Kind::kString || minus) {
      if (token.kind == Token::Kind::kString) {
        WrongType(field, place, absl::StrCat("`-", token.text, "`"), absl::StrCat(field.name, ": ", token.text));
        return false;
      }
      const std::string written = absl::StrCat(absl::string_view(minus ? "-" : ""), token.text);
      WrongType(field, place, absl::StrCat("`", written, "`"), absl::StrCat(field.name, ": \"", written, "\""));
      return false;
    }
    std::string problem;
    bool good = UnescapeString(token.text, value.text, problem);
    while (good && lexer_.peek().kind == Token::Kind::kString) {
      good = UnescapeString(lexer_.Take().text, value.text, problem);
    }
    if (!good) {
      while (lexer_.peek().kind == Token::Kind::kString) lexer_.Take();
      Error(place, absl::StrCat("`", field.name, "`: ", problem), "", "a backslash itself is written \\\\");
      return false;
    }
    if (!IsUtf8(value.text)) {
      Error(place, absl::StrCat("`", field.name, "` is not UTF-8"), "strings of the vocabulary are text",
            "save the file as UTF-8");
      return false;
    }
    return true;
  }

  bool ReadBool(const FieldFacts& field, Place place, const Token& token, bool minus, Value& value) {
    const absl::string_view text = token.text;
    const bool is_true = text == "true" || text == "True" || text == "t" || text == "1";
    const bool is_false = text == "false" || text == "False" || text == "f" || text == "0";
    if (minus || (!is_true && !is_false)) {
      WrongType(field, place, absl::StrCat("`", minus ? "-" : "", text, "`"), absl::StrCat(field.name, ": true"));
      return false;
    }
    value.integer = is_true;
    return true;
  }

  bool ReadEnum(const FieldFacts& field, Place place, const Token& token, bool minus, Value& value) {
    const EnumDescriptor* type = field.descriptor->enum_type();
    if (token.kind == Token::Kind::kNumber) {
      int number = 0;
      if (minus || !absl::SimpleAtoi(token.text, &number) || type->FindValueByNumber(number) == nullptr) {
        WrongType(field, place, absl::StrCat("`", minus ? "-" : "", token.text, "`"), "");
        return false;
      }
      value.integer = number;
      return true;
    }
    std::string name(token.text);
    if (token.kind == Token::Kind::kString) name = name.substr(1, name.size() - 2);
    const auto* found = type->FindValueByName(name);
    if (found == nullptr || token.kind == Token::Kind::kString || minus) {
      std::string fix = found != nullptr ? name : Closest(absl::AsciiStrToUpper(name), EnumNames(type));
      if (!fix.empty()) fix = absl::StrCat(field.name, ": ", fix);
      WrongType(
          field, place,
          token.kind == Token::Kind::kString ? absl::StrCat("the string \"", name, "\"") : absl::StrCat("`", name, "`"),
          std::move(fix));
      return false;
    }
    value.integer = found->number();
    return true;
  }

  bool ReadReal(const FieldFacts& field, Place place, const Token& token, bool minus, Value& value) {
    const std::string written = absl::StrCat(absl::string_view(minus ? "-" : ""), token.text);
    double number = 0;
    bool good = token.kind != Token::Kind::kString;
    if (good && token.kind == Token::Kind::kIdentifier) {
      const std::string lower = absl::AsciiStrToLower(token.text);
      good = lower == "inf" || lower == "infinity";
      number = std::numeric_limits<double>::infinity();
    } else if (good) {
      // Decimal only; with a leading zero it would be octal.
      absl::string_view digits = token.text;
      const bool based = digits.size() > 1 && digits[0] == '0' &&
                         (absl::ascii_isalnum(digits[1]) && digits[1] != 'e' && digits[1] != 'E' && digits[1] != 'f' &&
                          digits[1] != 'F');
      absl::ConsumeSuffix(&digits, "f") || absl::ConsumeSuffix(&digits, "F");
      good = !based && absl::SimpleAtod(digits, &number);
    }
    if (!good) {
      std::string fix;
      double inside = 0;
      if (token.kind == Token::Kind::kString && absl::SimpleAtod(token.text.substr(1, token.text.size() - 2), &inside))
        fix = absl::StrCat(field.name, ": ", token.text.substr(1, token.text.size() - 2));
      WrongType(field, place, token.kind == Token::Kind::kString ? written : absl::StrCat("`", written, "`"),
                std::move(fix));
      return false;
    }
    value.real = minus ? -number : number;
    return true;
  }

  // Decimal, 0x hexadecimal or 0 octal, as in C.
  static bool ReadNatural(absl::string_view text, uint64_t& out) {
    if (text.empty() || text[0] < '0' || text[0] > '9') return false;
    int base = 10;
    if (absl::ConsumePrefix(&text, "0x") || absl::ConsumePrefix(&text, "0X")) {
      base = 16;
    } else if (text.size() > 1 && text[0] == '0') {
      base = 8;
    }
    uint64_t value = 0;
    if (text.empty()) return false;
    for (const char c : text) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : 99;
      if (digit >= base) return false;
      if (value > (std::numeric_limits<uint64_t>::max() - digit) / base) return false;
      value = value * base + digit;
    }
    out = value;
    return true;
  }

  // For "2e12", "2_000" and "2.0": the whole number they would be.
  static std::string AsWhole(absl::string_view text) {
    std::string digits;
    for (const char c : text) {
      if (c != '_') digits += c;
    }
    double number = 0;
    if (!absl::SimpleAtod(digits, &number) || number != std::floor(number) || std::abs(number) >= 9e15) return "";
    return absl::StrCat(static_cast<int64_t>(number));
  }

  bool ReadInteger(const FieldFacts& field, Place place, const Token& token, bool minus, Value& value) {
    const std::string written = absl::StrCat(absl::string_view(minus ? "-" : ""), token.text);
    absl::string_view text = token.text;
    uint64_t magnitude = 0;
    if (token.kind != Token::Kind::kNumber || !ReadNatural(text, magnitude)) {
      const bool quoted = token.kind == Token::Kind::kString;
      if (quoted) text = text.substr(1, text.size() - 2);
      const std::string whole = AsWhole(text);
      bool all_digits = token.kind == Token::Kind::kNumber;
      for (const char c : text) all_digits &= c >= '0' && c <= '9';
      if (all_digits && (text.size() == 1 || text[0] != '0')) {
        OutOfRange(field, place, written);
        return false;
      }
      WrongType(field, place, quoted ? written : absl::StrCat("`", written, "`"),
                whole.empty() ? "" : absl::StrCat(field.name, ": ", minus ? "-" : "", whole));
      return false;
    }
    const bool is_signed = field.type == FieldDescriptor::CPPTYPE_INT32 || field.type == FieldDescriptor::CPPTYPE_INT64;
    const bool is_32 = field.type == FieldDescriptor::CPPTYPE_INT32 || field.type == FieldDescriptor::CPPTYPE_UINT32;
    const uint64_t limit = is_signed ? (is_32 ? uint64_t{1} << 31 : uint64_t{1} << 63)
                                     : (is_32 ? uint64_t{0xFFFFFFFF} : std::numeric_limits<uint64_t>::max());
    const bool in_range = minus ? magnitude <= (is_signed ? limit : 0) : magnitude <= (is_signed ? limit - 1 : limit);
    if (!in_range) {
      OutOfRange(field, place, written);
      return false;
    }
    if (is_signed) {
      value.integer = minus ? static_cast<int64_t>(~magnitude + 1) : static_cast<int64_t>(magnitude);
    } else {
      value.natural = magnitude;
    }
    return true;
  }

  void OutOfRange(const FieldFacts& field, Place place, const std::string& written) {
    std::string range;
    switch (field.type) {
      case FieldDescriptor::CPPTYPE_INT32:
        range = "from -2147483648 to 2147483647";
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        range = "from 0 to 4294967295";
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        range = "from 0 to 18446744073709551615";
        break;
      default:
        range = "from -9223372036854775808 to 9223372036854775807";
    }
    Error(place, absl::StrCat("`", field.name, "` is ", written, ", which its type does not hold"),
          absl::StrCat("it takes whole numbers ", range), "");
  }

  Lexer lexer_;
  const Sources& sources_;
  const int source_;
  Diagnostics& diagnostics_;
  bool structure_is_lost_ = false;
  bool failed_ = false;  // the field that is being read has been reported
  bool fixed_ = false;
  Place fixed_place_;
};

}  // namespace

ParseResult ParseText(absl::string_view text, const MessageFacts& type, const Sources& sources, int source,
                      Diagnostics& diagnostics) {
  return Parser(text, sources, source, diagnostics).Run(type);
}

bool ParseFlagValue(absl::string_view text, const FieldFacts& field, const Sources& sources, Place place,
                    Diagnostics& diagnostics, std::vector<Value>& out) {
  const bool is_list = field.repeated && absl::StartsWith(text, "[");
  if (field.type == FieldDescriptor::CPPTYPE_STRING && !is_list) {
    if (!IsUtf8(text)) {
      diagnostics.AddError(sources.At(place), absl::StrCat("`", field.name, "` is not UTF-8"),
                           "strings of the vocabulary are text");
      return false;
    }
    Value value(&field, place);
    value.text = std::string(text);
    out.push_back(std::move(value));
    return true;
  }
  Parser parser(text, sources, place.source, diagnostics);
  parser.FixPlace(place);
  return parser.RunValue(field, out);
}

}  // namespace millrace
