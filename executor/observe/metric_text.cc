// Nothing here knows which metrics there are: names say their unit ("..._bytes", "..._fraction"), and a headline is
// made of those of the kind's usual names that the stage reported.
#include "executor/observe/metric_text.h"

#include <cmath>
#include <initializer_list>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/quantity.h"

namespace millrace {
namespace {

constexpr absl::string_view kSource = ".source_";

bool IsWhole(double value) { return std::abs(value) < 9e15 && value == std::floor(value); }

// The value of the first of these names that the stage has.
absl::optional<double> FirstOf(const StageView& stage, std::initializer_list<absl::string_view> names) {
  for (absl::string_view name : names) {
    if (const absl::optional<double> value = stage.FindMetric(name)) return value;
  }
  return absl::nullopt;
}

std::string Whole(double value) { return FormatGrouped(std::llround(value)); }

std::string DocumentsHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  if (const auto bytes = FirstOf(stage, {"bytes", "text_bytes"})) parts.push_back(FormatBytes(*bytes));
  if (const auto documents = FirstOf(stage, {"documents", "documents_kept"})) {
    parts.push_back(absl::StrCat(Whole(*documents), *documents == 1 ? " document" : " documents"));
  }
  if (const auto bad = FirstOf(stage, {"documents_bad", "bad_documents"}); bad && *bad > 0) {
    parts.push_back(absl::StrCat(Whole(*bad), " bad"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string DedupHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  if (const auto kept = FirstOf(stage, {"documents_kept", "documents"})) {
    parts.push_back(absl::StrCat(Whole(*kept), " kept"));
  }
  const auto exact = FirstOf(stage, {"exact_duplicates", "documents_dropped.exact"});
  const auto near = FirstOf(stage, {"near_duplicates", "documents_dropped.near"});
  if (exact || near) {
    parts.push_back(
        absl::StrCat(Whole(exact.value_or(0)), " exact and ", Whole(near.value_or(0)), " near duplicates dropped"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string FilterHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  if (const auto kept = FirstOf(stage, {"documents_kept", "documents"})) {
    parts.push_back(absl::StrCat(Whole(*kept), " kept"));
  }
  if (const auto dropped = FirstOf(stage, {"documents_dropped"})) {
    parts.push_back(absl::StrCat(Whole(*dropped), " dropped"));
  }
  if (const auto redacted = FirstOf(stage, {"documents_redacted", "redactions"}); redacted && *redacted > 0) {
    parts.push_back(absl::StrCat(Whole(*redacted), " redacted"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string SplitHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  if (const auto train = FirstOf(stage, {"documents_train", "train_documents"})) {
    parts.push_back(absl::StrCat(Whole(*train), " to train on"));
  }
  if (const auto held = FirstOf(stage, {"documents_held_out", "held_out_documents"})) {
    parts.push_back(absl::StrCat(Whole(*held), " held out"));
  }
  if (const auto dropped = FirstOf(stage, {"documents_dropped", "train_documents_dropped", "documents_dropped_near"});
      dropped && *dropped > 0) {
    parts.push_back(absl::StrCat(Whole(*dropped), " too near to a held-out one dropped"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string TokensHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  if (const auto vocab = FirstOf(stage, {"vocab_size"})) parts.push_back(absl::StrCat(Whole(*vocab), " entries"));
  if (const auto ids = FirstOf(stage, {"tokens", "ids"})) parts.push_back(absl::StrCat(FormatCount(*ids), " tokens"));
  if (const auto ratio = FirstOf(stage, {"bytes_per_token", "bytes_per_id"})) {
    parts.push_back(absl::StrFormat("%.2f bytes/token", *ratio));
  }
  if (const auto sequences = FirstOf(stage, {"sequences"})) {
    parts.push_back(absl::StrCat(Whole(*sequences), " sequences"));
  }
  if (const auto held = FirstOf(stage, {"held_out_tokens"})) {
    parts.push_back(absl::StrCat("held out ", FormatCount(*held)));
  }
  return absl::StrJoin(parts, ", ");
}

std::string MixHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  if (const auto tokens = stage.FindMetric("tokens")) parts.push_back(absl::StrCat(FormatCount(*tokens), " tokens"));
  if (const auto positions = stage.FindMetric("positions")) {
    parts.push_back(absl::StrCat("an order of ", Whole(*positions), " sequences"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string TrainHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  const auto loss = stage.curves.find("loss");
  if (loss != stage.curves.end() && !loss->second.step.empty()) {
    parts.push_back(absl::StrCat(Whole(loss->second.step.back()), " steps"));
    parts.push_back(absl::StrFormat("loss %.3f -> %.3f", loss->second.value.front(), loss->second.value.back()));
  }
  if (stage.resumed_from_step > 0) parts.push_back(absl::StrCat("went on from step ", Whole(stage.resumed_from_step)));
  return absl::StrJoin(parts, ", ");
}

std::string EvaluateHeadline(const StageView& stage) {
  const BitsPerByte bits = BitsPerByteOf(stage);
  std::vector<std::string> parts;
  if (bits.model) parts.push_back(absl::StrFormat("%.2f bits/byte held out", *bits.model));
  if (bits.gzip_per_document) parts.push_back(absl::StrFormat("gzip -9 %.2f per document", *bits.gzip_per_document));
  if (bits.gzip_concatenated) {
    parts.push_back(
        absl::StrFormat("%s%.2f concatenated", bits.gzip_per_document ? "" : "gzip -9 ", *bits.gzip_concatenated));
  }
  return absl::StrJoin(parts, ", ");
}

std::string AnyHeadline(const StageView& stage) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : stage.metrics) {
    if (absl::StartsWith(name, "time.") || absl::StrContains(name, kSource)) continue;
    parts.push_back(absl::StrCat(MetricLabel(name), " ", FormatMetric(name, value)));
    if (parts.size() == 3) break;
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace

std::string FormatMetric(absl::string_view name, double value) {
  std::string base;
  int ordinal;
  if (SplitSourceMetric(name, base, ordinal)) name = base;
  if (!std::isfinite(value)) return std::isnan(value) ? "not a number" : value > 0 ? "infinite" : "-infinite";
  if (absl::EndsWith(name, "bits_per_byte") || absl::StrContains(name, "bits_per_byte_")) {
    return absl::StrFormat("%.3f", value);
  }
  const auto ends = [&](absl::string_view end) { return name == end || absl::EndsWith(name, absl::StrCat("_", end)); };
  if (ends("bytes")) return FormatBytes(value);
  if (ends("fraction") || ends("ratio")) return absl::StrFormat("%.1f %%", value * 100);
  if (ends("seconds") && value >= 0) return FormatSeconds(value);
  if (IsWhole(value)) return FormatGrouped(std::llround(value));
  if (std::abs(value) >= 1000) return FormatGrouped(std::llround(value));
  return absl::StrFormat("%.4g", value);
}

std::string MetricLabel(absl::string_view name) {
  std::string base;
  int ordinal;
  if (SplitSourceMetric(name, base, ordinal)) name = base;
  absl::ConsumePrefix(&name, "time.");
  if (name == "grad_norm") return "gradient norm";
  return absl::StrReplaceAll(name, {{"_", " "}, {".", ": "}});
}

std::string FormatClock(double seconds) {
  const int64_t whole = std::max<int64_t>(0, std::llround(seconds));
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string StageHeadline(const StageView& stage) {
  const std::string& kind = stage.info.kind();
  std::string headline;
  if (kind == "corpus") headline = DocumentsHeadline(stage);
  if (kind == "dedup") headline = DedupHeadline(stage);
  if (kind == "filter") headline = FilterHeadline(stage);
  if (kind == "split") headline = SplitHeadline(stage);
  if (kind == "tokenizer" || kind == "train_tokenizer" || kind == "tokenize" || kind == "pack") {
    headline = TokensHeadline(stage);
  }
  if (kind == "mix") headline = MixHeadline(stage);
  if (kind == "train") headline = TrainHeadline(stage);
  if (kind == "evaluate") headline = EvaluateHeadline(stage);
  return headline.empty() ? AnyHeadline(stage) : headline;
}

BitsPerByte BitsPerByteOf(const StageView& stage, int source) {
  BitsPerByte bits;
  for (const auto& [name, value] : stage.metrics) {
    std::string base = name;
    int ordinal = -1;
    SplitSourceMetric(name, base, ordinal);
    if (ordinal != source || !absl::StrContains(base, "bits_per_byte") || absl::StrContains(base, "over")) continue;
    const bool gzip = absl::StrContains(base, "gzip");
    if (!gzip && base == "bits_per_byte") bits.model = value;
    if (gzip && absl::StrContains(base, "concat")) bits.gzip_concatenated = value;
    if (gzip && !absl::StrContains(base, "concat")) bits.gzip_per_document = value;
  }
  return bits;
}

bool SplitSourceMetric(absl::string_view name, std::string& base, int& ordinal) {
  const size_t found = name.rfind(kSource);
  if (found == absl::string_view::npos || found == 0) return false;
  const absl::string_view digits = name.substr(found + kSource.size());
  if (!absl::SimpleAtoi(digits, &ordinal) || ordinal < 0) return false;
  base.assign(name.data(), found);
  return true;
}

SourceTable SourceTableOf(const StageView& stage) {
  SourceTable table;
  std::map<std::string, std::map<int, double>> values;
  std::set<int> ordinals;
  for (const auto& [name, value] : stage.metrics) {
    std::string base;
    int ordinal;
    if (!SplitSourceMetric(name, base, ordinal)) continue;
    values[base][ordinal] = value;
    ordinals.insert(ordinal);
  }
  for (const auto& [base, by_source] : values) table.column.push_back(base);
  for (int ordinal : ordinals) {
    SourceTable::Row& row = table.row.emplace_back();
    row.source = ordinal < stage.info.source_size() ? stage.info.source(ordinal) : absl::StrCat("source ", ordinal);
    for (const std::string& base : table.column) {
      const auto found = values[base].find(ordinal);
      row.value.push_back(found == values[base].end() ? absl::optional<double>() : found->second);
    }
  }
  SourceTable::Row all;
  bool any = false;
  for (const std::string& base : table.column) {
    all.value.push_back(stage.FindMetric(base));
    any = any || all.value.back().has_value();
  }
  if (any) table.row.push_back(std::move(all));
  return table;
}

}  // namespace millrace
