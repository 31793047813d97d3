// Rewriting works on positions: the text parser notes where each field stands, the value behind it is replaced from the
// end of the file to its beginning, so that earlier positions stay right.
#include "executor/cli/expectations.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "executor/observe/metric_text.h"
#include "google/protobuf/text_format.h"

namespace millrace {
namespace {

using google::protobuf::TextFormat;

const OutputTree* FindOutput(const ActionEntry& entry, absl::string_view name) {
  for (const OutputTree& output : entry.output()) {
    if (output.name() == name) return &output;
  }
  return nullptr;
}

// The same digits on every machine, enough to give the same double.
std::string Digits(double value) {
  for (int precision = 6; precision < 17; ++precision) {
    std::string text = absl::StrFormat("%.*g", precision, value);
    if (std::stod(text) == value) return text;
  }
  return absl::StrFormat("%.17g", value);
}

void CheckDigest(const ActionEntry* entry, const std::string& output_name, ExpectationResult& result) {
  const Expectation& expectation = result.expectation;
  const OutputTree* output = nullptr;
  if (entry != nullptr) {
    output = output_name.empty() ? (entry->output_size() > 0 ? &entry->output(0) : nullptr)
                                 : FindOutput(*entry, output_name);
  }
  result.found = output != nullptr;
  if (result.found) result.digest = output->digest();
  result.holds = result.found && result.digest == expectation.digest();
  result.text = result.found ? absl::StrCat(expectation.stage(), " digest: ", result.digest,
                                            result.holds ? "" : absl::StrCat(", expected ", expectation.digest()))
                             : absl::StrCat(expectation.stage(), ": there is no such output");
}

void CheckMetric(const ActionEntry* entry, ExpectationResult& result) {
  const Expectation& expectation = result.expectation;
  if (entry != nullptr) {
    for (const Metric& metric : entry->metric()) {
      if (metric.name() != expectation.metric()) continue;
      result.found = true;
      result.value = metric.value();
    }
  }
  const std::string what = absl::StrCat(expectation.stage(), " ", expectation.metric());
  if (!result.found) {
    result.text = absl::StrCat(what, ": there is no such metric");
    return;
  }
  std::vector<std::string> expected;
  result.holds = std::isfinite(result.value);
  if (expectation.has_min()) {
    result.holds = result.holds && result.value >= expectation.min();
    expected.push_back(absl::StrCat("at least ", Digits(expectation.min())));
  }
  if (expectation.has_max()) {
    result.holds = result.holds && result.value <= expectation.max();
    expected.push_back(absl::StrCat("at most ", Digits(expectation.max())));
  }
  if (expectation.has_golden()) {
    result.holds = result.holds && std::abs(result.value - expectation.golden()) <= expectation.tolerance();
    expected.push_back(absl::StrCat(Digits(expectation.golden()), " within ", Digits(expectation.tolerance())));
  }
  result.text = absl::StrCat(what, ": ", Digits(result.value), ", expected ");
  for (size_t i = 0; i < expected.size(); ++i) absl::StrAppend(&result.text, i == 0 ? "" : " and ", expected[i]);
}

// Offset of line `line`, column `column`, counted from 0. The parser counts a tab as up to the next multiple of 8.
size_t OffsetOf(absl::string_view text, int line, int column) {
  size_t offset = 0;
  for (; line > 0 && offset < text.size(); ++offset) line -= text[offset] == '\n';
  for (int at = 0; at < column && offset < text.size(); ++offset) at = text[offset] == '\t' ? (at / 8 + 1) * 8 : at + 1;
  return offset;
}

// The value of the field whose name begins at `offset`: [begin, end).
std::pair<size_t, size_t> ValueAt(absl::string_view text, size_t offset) {
  while (offset < text.size() && (absl::ascii_isalnum(text[offset]) || text[offset] == '_')) ++offset;
  while (offset < text.size() && (absl::ascii_isspace(text[offset]) || text[offset] == ':')) ++offset;
  size_t end = offset;
  if (end < text.size() && (text[end] == '"' || text[end] == '\'')) {
    const char quote = text[end++];
    while (end < text.size() && text[end] != quote) end += text[end] == '\\' ? 2 : 1;
    ++end;
  } else {
    while (end < text.size() && !absl::ascii_isspace(text[end]) && text[end] != '}' && text[end] != ',' &&
           text[end] != ';' && text[end] != '#') {
      ++end;
    }
  }
  return {offset, std::min(end, text.size())};
}

void AddExtended(const Pipeline& pipeline, const std::string& profile, std::set<std::string>& names) {
  if (!names.insert(profile).second) return;
  for (const Profile& one : pipeline.profile()) {
    if (one.name() != profile) continue;
    for (const std::string& extended : one.extends()) AddExtended(pipeline, extended, names);
  }
}

bool SameTarget(const Expectation& a, const Expectation& b) {
  return a.stage() == b.stage() && a.metric() == b.metric() && a.has_digest() == b.has_digest() &&
         a.has_golden() == b.has_golden();
}

}  // namespace

std::vector<ExpectationResult> CheckExpectations(const google::protobuf::RepeatedPtrField<Expectation>& expectations,
                                                 const std::map<std::string, ActionEntry>& entries) {
  std::vector<ExpectationResult> results;
  for (const Expectation& expectation : expectations) {
    ExpectationResult& result = results.emplace_back();
    result.expectation = expectation;
    const size_t dot = expectation.stage().find('.');
    const auto entry = entries.find(expectation.stage().substr(0, dot));
    const ActionEntry* found = entry == entries.end() ? nullptr : &entry->second;
    if (expectation.has_digest()) {
      CheckDigest(found, dot == std::string::npos ? "" : expectation.stage().substr(dot + 1), result);
    } else {
      CheckMetric(found, result);
    }
  }
  return results;
}

absl::StatusOr<std::string> UpdateExpectations(absl::string_view text, absl::string_view profile,
                                               const std::vector<ExpectationResult>& results) {
  Pipeline pipeline;
  TextFormat::ParseInfoTree places;
  TextFormat::Parser parser;
  parser.WriteLocationsTo(&places);
  std::string updated(text.data(), text.size());
  if (!parser.ParseFromString(updated, &pipeline))
    return absl::InvalidArgumentError("the pipeline file does not parse");
  std::set<std::string> profiles;
  AddExtended(pipeline, std::string(profile.data(), profile.size()), profiles);

  const auto* profile_field = Pipeline::descriptor()->FindFieldByName("profile");
  const auto* expect_field = Profile::descriptor()->FindFieldByName("expect");
  std::vector<std::pair<std::pair<size_t, size_t>, std::string>> edits;
  for (int p = 0; p < pipeline.profile_size(); ++p) {
    if (profiles.count(pipeline.profile(p).name()) == 0) continue;
    const TextFormat::ParseInfoTree* of_profile = places.GetTreeForNested(profile_field, p);
    for (int e = 0; of_profile != nullptr && e < pipeline.profile(p).expect_size(); ++e) {
      const Expectation& expectation = pipeline.profile(p).expect(e);
      const TextFormat::ParseInfoTree* place = of_profile->GetTreeForNested(expect_field, e);
      for (const ExpectationResult& result : results) {
        if (place == nullptr || !result.found || !SameTarget(expectation, result.expectation)) continue;
        const char* field = expectation.has_digest() ? "digest" : "golden";
        if (!expectation.has_digest() && !expectation.has_golden()) continue;
        if (expectation.has_golden() && result.holds) continue;  // within its tolerance: no noise in the file
        const TextFormat::ParseLocation location =
            place->GetLocation(Expectation::descriptor()->FindFieldByName(field), -1);
        if (location.line < 0) continue;
        edits.emplace_back(ValueAt(text, OffsetOf(text, location.line, location.column)),
                           expectation.has_digest() ? absl::StrCat("\"", result.digest, "\"") : Digits(result.value));
      }
    }
  }
  std::sort(edits.rbegin(), edits.rend());
  edits.erase(std::unique(edits.begin(), edits.end()), edits.end());
  for (const auto& [range, value] : edits) updated.replace(range.first, range.second - range.first, value);
  return updated;
}

std::string LineDifference(absl::string_view before, absl::string_view after) {
  const std::vector<std::string> old_lines = absl::StrSplit(before, '\n');
  const std::vector<std::string> new_lines = absl::StrSplit(after, '\n');
  std::string text;
  for (size_t i = 0; i < std::min(old_lines.size(), new_lines.size()); ++i) {
    if (old_lines[i] == new_lines[i]) continue;
    absl::StrAppend(&text, "-", i + 1, ": ", old_lines[i], "\n+", i + 1, ": ", new_lines[i], "\n");
  }
  return text;
}

}  // namespace millrace
