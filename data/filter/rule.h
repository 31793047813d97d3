// One rule of the `filter` stage, ready to be applied.
#ifndef MILLRACE_DATA_FILTER_RULE_H_
#define MILLRACE_DATA_FILTER_RULE_H_

#include <re2/re2.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/corpus/document.h"
#include "pipelines/schema/filter.pb.h"

namespace millrace::data {

// Whether a document of `language` is meant by `only_language`: they are equal, or the document's is a more special one
// ("en-GB" for "en"; RFC 4647, basic filtering). Case does not matter.
bool IsLanguage(absl::string_view language, absl::string_view only_language);

// Immutable, thread-safe.
class Rule {
 public:
  struct Verdict {
    bool dropped = false;
    double value = 0;        // what was measured
    size_t match_begin = 0;  // the first match of a pattern
    size_t match_size = 0;
    int64_t redactions = 0;
  };

  // InvalidArgument: the rule says nothing, its range is empty, or its pattern or replacement is none of RE2's.
  static absl::StatusOr<Rule> Make(const FilterRule& rule);

  const std::string& name() const { return rule_.name(); }
  bool redacts() const { return rule_.what_case() == FilterRule::kRedactMatching; }

  Verdict Apply(Document& document) const;

  // Why a document was dropped: "words 7, min 50"; "matches at byte 120".
  std::string Explain(const Verdict& verdict) const;

 private:
  explicit Rule(const FilterRule& rule) : rule_(rule) {}
  const Range* range() const;

  FilterRule rule_;
  std::shared_ptr<const re2::RE2> pattern_;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_FILTER_RULE_H_
