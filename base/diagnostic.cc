#include "base/diagnostic.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace millrace {
namespace {

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string Indented(absl::string_view text) { return absl::StrReplaceAll(text, {{"\n", "\n       "}}); }

auto SortKey(const Diagnostic& d) {
  return std::tie(d.location.file, d.location.line, d.location.column, d.what, d.why, d.fix);
}

}  // namespace

std::string Location::ToString() const {
  if (line == 0) return file;
  if (column == 0) return absl::StrCat(file, ":", line);
  return absl::StrCat(file, ":", line, ":", column);
}

std::string Diagnostic::ToString() const {
  std::string text = location.file.empty() ? "" : absl::StrCat(location.ToString(), ": ");
  if (severity == Severity::kWarning) text += "warning: ";
  text += what;
  if (!why.empty()) absl::StrAppend(&text, "\n  why: ", Indented(why));
  if (!fix.empty()) absl::StrAppend(&text, "\n  fix: ", Indented(fix));
  return text;
}

void Diagnostics::AddError(Location location, std::string what, std::string why, std::string fix) {
  diagnostics_.push_back(
      {Diagnostic::Severity::kError, std::move(location), std::move(what), std::move(why), std::move(fix)});
}

void Diagnostics::AddWarning(Location location, std::string what, std::string why, std::string fix) {
  diagnostics_.push_back(
      {Diagnostic::Severity::kWarning, std::move(location), std::move(what), std::move(why), std::move(fix)});
}

bool Diagnostics::has_errors() const { return num_errors() > 0; }

int Diagnostics::num_errors() const {
  int errors = 0;
  for (const Diagnostic& d : Sorted()) errors += d.severity == Diagnostic::Severity::kError;
  return errors;
}

std::vector<Diagnostic> Diagnostics::Sorted() const {
  std::vector<Diagnostic> sorted = diagnostics_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return SortKey(a) < SortKey(b); });
  sorted.erase(
      std::unique(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return SortKey(a) == SortKey(b); }),
      sorted.end());
  return sorted;
}

std::string Diagnostics::ToString() const {
  std::string text;
  for (const Diagnostic& d : Sorted()) absl::StrAppend(&text, d.ToString(), "\n");
  return text;
}

absl::Status Diagnostics::ToStatus() const {
  if (!has_errors()) return absl::OkStatus();
  return absl::InvalidArgumentError(ToString());
}

std::string Closest(absl::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  int best_distance = std::max<int>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const int distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace millrace
