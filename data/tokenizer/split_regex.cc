#include "data/tokenizer/split_regex.h"

#include <re2/re2.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "data/tokenizer/utf8.h"

namespace millrace::data {
namespace {

using Ranges = std::vector<CodePointRange>;

absl::Status RefuseError(absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat(what, " is not supported in a Split pattern"));
}

Ranges Normalized(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  Ranges merged;
  for (const CodePointRange& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

// Of normalized ranges.
Ranges Complement(const Ranges& ranges) {
  Ranges complement;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges) {
    if (range.first > next) complement.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next < kCodePoints) complement.push_back({next, kCodePoints - 1});
  return complement;
}

// Takes one character.
uint32_t TakeCharacter(absl::string_view& in) {
  int length = 0;
  const uint32_t c = DecodeUtf8(in.data(), length);
  in.remove_prefix(length);
  return c;
}

absl::StatusOr<Ranges> PropertyRanges(absl::string_view name) {
  static constexpr struct {
    absl::string_view name;
    uint8_t bits;
  } kProperties[] = {{"L", unicode_class::kLetter},       {"M", unicode_class::kMark},
                     {"N", unicode_class::kNumber},       {"P", unicode_class::kPunctuation},
                     {"S", unicode_class::kSymbol},       {"Letter", unicode_class::kLetter},
                     {"Nd", unicode_class::kDecimalDigit}};
  for (const auto& property : kProperties) {
    if (property.name == name) return RangesOfClass(property.bits);
  }
  return RefuseError(absl::StrCat("\\p{", name, "}"));
}

// What a backslash stands for: a class, or one character. `in` is behind the backslash.
absl::StatusOr<Ranges> TakeEscape(absl::string_view& in) {
  if (in.empty()) return RefuseError("a backslash at the end");
  const uint32_t c = TakeCharacter(in);
  const auto one = [](uint32_t character) { return Ranges{{character, character}}; };
  switch (c) {
    case 'p':
    case 'P': {
      if (!absl::ConsumePrefix(&in, "{")) return RefuseError("\\p without {");
      bool negated = c == 'P';
      if (absl::ConsumePrefix(&in, "^")) negated = !negated;
      const size_t close = in.find('}');
      if (close == absl::string_view::npos) return RefuseError("\\p{ without }");
      ASSIGN_OR_RETURN(Ranges ranges, PropertyRanges(in.substr(0, close)));
      in.remove_prefix(close + 1);
      return negated ? Complement(ranges) : ranges;
    }
    case 's':
      return RangesOfClass(unicode_class::kSpace);
    case 'S':
      return Complement(RangesOfClass(unicode_class::kSpace));
    case 'd':
      return RangesOfClass(unicode_class::kDecimalDigit);
    case 'D':
      return Complement(RangesOfClass(unicode_class::kDecimalDigit));
    case 'n':
      return one('\n');
    case 'r':
      return one('\r');
    case 't':
      return one('\t');
    case 'f':
      return one('\f');
    case 'v':
      return one('\v');
    case 'u': {
      uint32_t value = 0;
      if (in.size() < 4 || !absl::SimpleHexAtoi(in.substr(0, 4), &value)) return RefuseError("\\u without four digits");
      in.remove_prefix(4);
      return one(value);
    }
    default:
      if (c < 0x80 && absl::ascii_isalnum(c)) return RefuseError(absl::StrFormat("\\%c", c));
      return one(c);
  }
}

// The inside of [...]; `in` is behind the opening bracket.
absl::StatusOr<Ranges> TakeBracket(absl::string_view& in) {
  const bool negated = absl::ConsumePrefix(&in, "^");
  Ranges all;
  while (true) {
    if (in.empty()) return RefuseError("[ without ]");
    if (absl::ConsumePrefix(&in, "]")) break;
    if (in[0] == '[') return RefuseError("a class in a class");
    if (absl::StartsWith(in, "&&")) return RefuseError("&& in a class");
    const bool escaped = absl::ConsumePrefix(&in, "\\");
    Ranges item;
    if (escaped) {
      ASSIGN_OR_RETURN(item, TakeEscape(in));
    } else {
      const uint32_t c = TakeCharacter(in);
      item = {{c, c}};
    }
    const bool single = item.size() == 1 && item[0].first == item[0].last;
    if (single && in.size() >= 2 && in[0] == '-' && in[1] != ']') {
      in.remove_prefix(1);
      if (in[0] == '[') return RefuseError("a class in a class");
      Ranges to;
      if (absl::ConsumePrefix(&in, "\\")) {
        ASSIGN_OR_RETURN(to, TakeEscape(in));
      } else {
        const uint32_t c = TakeCharacter(in);
        to = {{c, c}};
      }
      if (to.size() != 1 || to[0].first != to[0].last || to[0].first < item[0].first)
        return RefuseError("a range that is none");
      item[0].last = to[0].first;
    }
    all.insert(all.end(), item.begin(), item.end());
  }
  if (all.empty()) return RefuseError("an empty class");
  all = Normalized(std::move(all));
  return negated ? Complement(all) : all;
}

// A class or an escape at the beginning of `in`; nullopt: there is none.
absl::StatusOr<std::optional<Ranges>> TakeClass(absl::string_view& in) {
  if (absl::ConsumePrefix(&in, "[")) return TakeBracket(in);
  if (absl::ConsumePrefix(&in, "\\")) return TakeEscape(in);
  return std::nullopt;
}

std::string Re2Class(const Ranges& ranges) {
  std::string out = "[";
  for (const CodePointRange& range : ranges) {
    absl::StrAppendFormat(&out, "\\x{%x}", range.first);
    if (range.last != range.first) absl::StrAppendFormat(&out, "-\\x{%x}", range.last);
  }
  return out + "]";
}

// Takes {n}, {n,} or {n,m}.
absl::StatusOr<std::string> TakeInterval(absl::string_view& in) {
  static const RE2* const interval = new RE2(R"((\{[0-9]+(?:,[0-9]*)?\}))");
  re2::StringPiece piece(in.data(), in.size());
  std::string taken;
  if (!RE2::Consume(&piece, *interval, &taken)) return RefuseError("a brace that is no interval");
  in.remove_prefix(taken.size());
  if (!in.empty() && absl::StrContains("?+*{", in.substr(0, 1))) return RefuseError("a quantifier after an interval");
  return taken;
}

// One step of the translation, from the beginning of `in`, which is no class.
absl::Status TranslateNext(absl::string_view& in, std::string& out) {
  if (absl::ConsumePrefix(&in, "(?:")) {
    out += "(?:";
  } else if (absl::ConsumePrefix(&in, "(?i:")) {
    out += "(?i:";
  } else if (absl::StartsWith(in, "(?")) {
    return RefuseError(absl::StrCat(in.substr(0, 4), "...)"));
  } else if (absl::ConsumePrefix(&in, "(")) {
    out += "(?:";
  } else if (absl::ConsumePrefix(&in, "^")) {
    out += "(?m:^)";
  } else if (absl::ConsumePrefix(&in, "$")) {
    out += "(?m:$)";  // Ruby's `$` is the end of a line
  } else if (absl::StartsWith(in, "{")) {
    ASSIGN_OR_RETURN(const std::string interval, TakeInterval(in));
    out += interval;
  } else if (absl::StrContains("*+?", in.substr(0, 1))) {
    out += in[0];
    in.remove_prefix(1);
    if (absl::StartsWith(in, "+")) return RefuseError("a possessive quantifier");
    if (absl::ConsumePrefix(&in, "?")) out += '?';
    if (!in.empty() && absl::StrContains("*+?", in.substr(0, 1))) return RefuseError("a quantifier of a quantifier");
  } else if (absl::StrContains("|).", in.substr(0, 1))) {
    out += in[0];
    in.remove_prefix(1);
  } else {
    const uint32_t c = TakeCharacter(in);
    absl::StrAppendFormat(&out, "\\x{%x}", c);
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<ClassRun> ParseClassRun(absl::string_view pattern) {
  ClassRun run;
  run.optional_space = absl::ConsumePrefix(&pattern, "\\s?");
  absl::StatusOr<std::optional<Ranges>> set = TakeClass(pattern);
  if (!set.ok() || !set->has_value()) return std::nullopt;
  run.set = **std::move(set);
  if (pattern.empty()) {
    run.at_most = 1;
  } else if (absl::ConsumePrefix(&pattern, "{1,") && absl::ConsumeSuffix(&pattern, "}")) {
    if (!absl::SimpleAtoi(pattern, &run.at_most) || run.at_most < 1) return std::nullopt;
  } else if (pattern != "+") {
    return std::nullopt;
  }
  return run;
}

absl::StatusOr<Re2Pattern> TranslateToRe2(absl::string_view pattern) {
  Re2Pattern translated;
  translated.gives_back_last_space = absl::ConsumeSuffix(&pattern, R"(|\s+(?!\S)|\s+)");
  while (!pattern.empty()) {
    ASSIGN_OR_RETURN(const std::optional<Ranges> set, TakeClass(pattern));
    if (set.has_value()) {
      translated.pattern += Re2Class(*set);
    } else {
      RETURN_IF_ERROR(TranslateNext(pattern, translated.pattern));
    }
  }
  if (translated.gives_back_last_space)
    absl::StrAppend(&translated.pattern, "|(", Re2Class(RangesOfClass(unicode_class::kSpace)), "+)");
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(int64_t{256} << 20);
  const RE2 compiled(translated.pattern, options);
  if (!compiled.ok()) return RefuseError(absl::StrCat("\"", compiled.error(), "\""));
  if (RE2::FullMatch("", compiled)) return RefuseError("a pattern that matches nothing at all");
  return translated;
}

}  // namespace millrace::data
