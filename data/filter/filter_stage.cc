#include "data/filter/filter_stage.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/corpus/document_pass.h"
#include "data/filter/rule.h"

namespace millrace::data {
namespace {

constexpr int kExamples = 3;           // of each rule
constexpr size_t kContextBytes = 200;  // shown before a match

// What became of one document.
struct Fate {
  int64_t bytes_in = 0;
  int dropped_by = -1;  // a rule's index
  Rule::Verdict verdict;
  std::vector<std::pair<int, Rule::Verdict>> redactions;  // rule, with at least one
};

struct Books {
  int64_t dropped = 0, redactions = 0;
  int examples = 0;
};

// `text` from a little before `begin`, from the start of a character.
absl::string_view From(absl::string_view text, size_t begin) {
  begin = std::min(begin, text.size());
  if (begin <= kContextBytes) return text;
  size_t from = begin - kContextBytes;
  while (from < text.size() && (text[from] & 0xC0) == 0x80) ++from;
  return text.substr(from);
}

}  // namespace

absl::Status RunFilter(Stage& stage, const Filter& parameters) {
  std::vector<Rule> rules;
  for (const FilterRule& definition : parameters.rule()) {
    ASSIGN_OR_RETURN(Rule rule, Rule::Make(definition));
    for (const Rule& other : rules) {
      if (other.name() == rule.name())
        return absl::InvalidArgumentError(absl::StrCat("two rules are named \"", rule.name(), "\"\n  fix: rename one"));
    }
    rules.push_back(std::move(rule));
  }
  ASSIGN_OR_RETURN(DocumentReader reader, DocumentReader::Open(stage.InputPaths("from")));
  ASSIGN_OR_RETURN(const std::string out, stage.OutputPath("documents"));
  DocumentWriter writer(out);

  std::vector<Books> books(rules.size());
  int64_t documents_in = 0, bytes_in = 0, dropped = 0, bytes_dropped = 0, bytes_redacted = 0;
  const auto map = [&](Document& document, const DocumentPlace&, Fate& fate) {
    fate.bytes_in = document.text.size();
    for (int r = 0; r < rules.size(); ++r) {
      const Rule::Verdict verdict = rules[r].Apply(document);
      if (verdict.redactions > 0) fate.redactions.emplace_back(r, verdict);
      if (!verdict.dropped) continue;
      fate.dropped_by = r;
      fate.verdict = verdict;
      return;
    }
  };
  const auto reduce = [&](Document& document, Fate& fate) -> absl::Status {
    ++documents_in;
    bytes_in += fate.bytes_in;
    bytes_redacted += fate.bytes_in - static_cast<int64_t>(document.text.size());
    for (const auto& [r, verdict] : fate.redactions) {
      books[r].redactions += verdict.redactions;
      if (books[r].examples++ < kExamples) {
        stage.ReportExample(absl::StrCat("redacted: ", rules[r].name()),
                            absl::StrCat(document.id, ": ", verdict.redactions, " replaced"),
                            From(document.text, verdict.match_begin));
      }
    }
    if (fate.dropped_by < 0) return writer.Write(document);
    ++dropped;
    bytes_dropped += document.text.size();
    const Rule& rule = rules[fate.dropped_by];
    Books& book = books[fate.dropped_by];
    ++book.dropped;
    if (book.examples++ < kExamples) {
      stage.ReportExample(absl::StrCat("dropped: ", rule.name()),
                          absl::StrCat(document.id, ": ", rule.Explain(fate.verdict)),
                          From(document.text, fate.verdict.match_begin));
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(RunPass<Fate>(stage, reader, {}, map, reduce));
  RETURN_IF_ERROR(writer.Close(reader.sources()));

  int64_t dropped_by_rules = 0;
  for (const Books& book : books) dropped_by_rules += book.dropped;
  if (documents_in != reader.documents() || documents_in != writer.documents() + dropped ||
      dropped != dropped_by_rules || bytes_in != writer.text_bytes() + bytes_dropped + bytes_redacted) {
    return absl::InternalError(absl::StrCat("the books do not balance: ", documents_in, " documents (", bytes_in,
                                            " bytes) in, ", writer.documents(), " (", writer.text_bytes(), ") kept, ",
                                            dropped, " (", bytes_dropped, ") dropped, ", bytes_redacted,
                                            " bytes redacted"));
  }
  stage.ReportMetric("documents_in", documents_in);
  stage.ReportMetric("documents_kept", writer.documents());
  stage.ReportMetric("documents_kept_fraction",
                     documents_in == 0 ? 1 : static_cast<double>(writer.documents()) / documents_in);
  stage.ReportMetric("documents_dropped", dropped);
  stage.ReportMetric("bytes_in", bytes_in);
  stage.ReportMetric("bytes_kept", writer.text_bytes());
  stage.ReportMetric("bytes_dropped", bytes_dropped);
  stage.ReportMetric("bytes_redacted", bytes_redacted);
  for (int r = 0; r < rules.size(); ++r) {
    if (rules[r].redacts()) {
      stage.ReportMetric(absl::StrCat("redactions.", rules[r].name()), books[r].redactions);
    } else {
      stage.ReportMetric(absl::StrCat("documents_dropped.", rules[r].name()), books[r].dropped);
    }
  }
  return absl::OkStatus();
}

}  // namespace millrace::data
