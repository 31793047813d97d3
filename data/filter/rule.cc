#include "data/filter/rule.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/filter/text_statistics.h"

namespace millrace::data {
namespace {

// Room for the automata of long alternations. Beyond it RE2 is slower, never wrong.
constexpr int64_t kPatternMemoryBytes = 64 << 20;

absl::Status Wrong(const FilterRule& rule, absl::string_view what, absl::string_view fix) {
  return absl::InvalidArgumentError(absl::StrCat("rule \"", rule.name(), "\": ", what, "\n  fix: ", fix));
}

// `\C` matches a single byte and so could leave half a character.
bool MatchesBytes(absl::string_view pattern) {
  for (size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '\\') continue;
    if (pattern[++i] == 'C') return true;
  }
  return false;
}

absl::string_view MeasureName(const FilterRule& rule) {
  switch (rule.what_case()) {
    case FilterRule::kBytes:
      return "bytes";
    case FilterRule::kWords:
      return "words";
    case FilterRule::kRepeatedLineFraction:
      return "repeated_line_fraction";
    case FilterRule::kReplacementCharacterFraction:
      return "replacement_character_fraction";
    case FilterRule::kMaxLineCharacters:
      return "max_line_characters";
    case FilterRule::kMeanLineCharacters:
      return "mean_line_characters";
    case FilterRule::kAlphabeticFraction:
      return "alphabetic_fraction";
    default:
      return "";
  }
}

double Measure(FilterRule::WhatCase what, absl::string_view text) {
  switch (what) {
    case FilterRule::kBytes:
      return text.size();
    case FilterRule::kWords:
      return CountWords(text);
    case FilterRule::kRepeatedLineFraction:
      return RepeatedLineFraction(text);
    case FilterRule::kReplacementCharacterFraction:
      return ReplacementCharacterFraction(text);
    case FilterRule::kMaxLineCharacters:
      return MaxLineCharacters(text);
    case FilterRule::kMeanLineCharacters:
      return MeanLineCharacters(text);
    case FilterRule::kAlphabeticFraction:
      return AlphabeticFraction(text);
    default:
      return 0;
  }
}

}  // namespace

bool IsLanguage(absl::string_view language, absl::string_view only_language) {
  return absl::StartsWithIgnoreCase(language, only_language) &&
         (language.size() == only_language.size() || language[only_language.size()] == '-');
}

const Range* Rule::range() const {
  switch (rule_.what_case()) {
    case FilterRule::kBytes:
      return &rule_.bytes();
    case FilterRule::kWords:
      return &rule_.words();
    case FilterRule::kRepeatedLineFraction:
      return &rule_.repeated_line_fraction();
    case FilterRule::kReplacementCharacterFraction:
      return &rule_.replacement_character_fraction();
    case FilterRule::kMaxLineCharacters:
      return &rule_.max_line_characters();
    case FilterRule::kMeanLineCharacters:
      return &rule_.mean_line_characters();
    case FilterRule::kAlphabeticFraction:
      return &rule_.alphabetic_fraction();
    default:
      return nullptr;
  }
}

absl::StatusOr<Rule> Rule::Make(const FilterRule& definition) {
  Rule rule(definition);
  if (definition.what_case() == FilterRule::WHAT_NOT_SET)
    return Wrong(definition, "it says nothing", "give it one of bytes, words, ..., drop_matching, redact_matching");
  if (definition.has_replacement() && !rule.redacts())
    return Wrong(definition, "replacement without redact_matching", "redact_matching: \"...\"");
  if (const Range* range = rule.range(); range != nullptr) {
    if (!range->has_min() && !range->has_max()) return Wrong(definition, "neither min nor max", "give one of them");
    if (range->has_min() && range->has_max() && range->min() > range->max())
      return Wrong(definition, absl::StrCat("min ", range->min(), " is above max ", range->max()), "min <= max");
    return rule;
  }
  const std::string& pattern = rule.redacts() ? definition.redact_matching() : definition.drop_matching();
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemoryBytes);
  auto compiled = std::make_shared<re2::RE2>(pattern, options);
  constexpr absl::string_view kSyntax = "a pattern as in https://github.com/google/re2/wiki/Syntax";
  if (!compiled->ok())
    return Wrong(definition, absl::StrCat("pattern \"", pattern, "\": ", compiled->error()), kSyntax);
  if (MatchesBytes(pattern)) return Wrong(definition, "\\C matches single bytes", "(?s:.) matches any character");
  std::string error;
  if (rule.redacts() && !compiled->CheckRewriteString(definition.replacement(), &error))
    return Wrong(definition, absl::StrCat("replacement \"", definition.replacement(), "\": ", error),
                 "\\0 is the match, \\1 the first group, \\\\ a backslash");
  rule.pattern_ = std::move(compiled);
  return rule;
}

Rule::Verdict Rule::Apply(Document& document) const {
  Verdict verdict;
  if (rule_.has_only_language() && !IsLanguage(document.language, rule_.only_language())) return verdict;
  if (const Range* range = this->range(); range != nullptr) {
    verdict.value = Measure(rule_.what_case(), document.text);
    verdict.dropped =
        (range->has_min() && verdict.value < range->min()) || (range->has_max() && verdict.value > range->max());
    return verdict;
  }
  const re2::StringPiece text(document.text);
  re2::StringPiece match;
  if (!pattern_->Match(text, 0, text.size(), re2::RE2::UNANCHORED, &match, 1)) return verdict;
  verdict.match_begin = match.data() - text.data();
  verdict.match_size = match.size();
  if (redacts()) {
    verdict.redactions = re2::RE2::GlobalReplace(&document.text, *pattern_, rule_.replacement());
  } else {
    verdict.dropped = true;
  }
  return verdict;
}

std::string Rule::Explain(const Verdict& verdict) const {
  const Range* range = this->range();
  if (range == nullptr) return absl::StrCat("matches at byte ", verdict.match_begin);
  const bool below = range->has_min() && verdict.value < range->min();
  return absl::StrCat(MeasureName(rule_), " ", verdict.value, below ? ", min " : ", max ",
                      below ? range->min() : range->max());
}

}  // namespace millrace::data
