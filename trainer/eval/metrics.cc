#include "trainer/eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace millrace::trainer {
namespace {

std::string SuffixOf(uint32_t source) { return absl::StrCat(".source_", source); }

void Add(const Likelihood& likelihood, absl::string_view suffix, Metrics& metrics) {
  const auto add = [&](absl::string_view name, double value) { metrics[absl::StrCat(name, suffix)] = value; };
  add("documents", likelihood.documents);
  add("tokens", likelihood.tokens);
  add("bytes", likelihood.bytes);
  if (likelihood.tokens > 0) {
    add("loss", likelihood.loss());
    add("perplexity", likelihood.perplexity());
  }
  if (likelihood.bytes > 0) add("bits_per_byte", likelihood.bits_per_byte());
}

// Returns the model's bits over the better of gzip's two; 0 without bytes.
double Add(const GzipSize& gzip, const Likelihood& likelihood, absl::string_view suffix, Metrics& metrics) {
  if (gzip.bytes == 0) return 0;
  const double per_document = gzip.bits_per_byte_per_document(), concatenated = gzip.bits_per_byte_concatenated();
  metrics[absl::StrCat("gzip_bits_per_byte_per_document", suffix)] = per_document;
  metrics[absl::StrCat("gzip_bits_per_byte_concatenated", suffix)] = concatenated;
  return likelihood.bits_per_byte() / std::min(per_document, concatenated);
}

}  // namespace

void AddLikelihood(const LikelihoodBySource& likelihood, Metrics& metrics) {
  Add(likelihood.all, "", metrics);
  for (const auto& [source, sum] : likelihood.source) Add(sum, SuffixOf(source), metrics);
}

void AddGzipBaseline(const GzipBySource& gzip, const LikelihoodBySource& likelihood, Metrics& metrics) {
  double over = Add(gzip.all, likelihood.all, "", metrics);
  for (const auto& [source, size] : gzip.source) {
    over = std::max(over, Add(size, likelihood.source.at(source), SuffixOf(source), metrics));
  }
  if (gzip.all.bytes > 0) metrics["bits_per_byte_over_gzip"] = over;
}

std::string MetricsJson(const Metrics& metrics, const std::vector<SampledText>& samples,
                        const std::string& window_rule) {
  using Json = nlohmann::ordered_json;
  Json json = {{"metrics", Json::object()}, {"samples", Json::array()}};
  for (const auto& [name, value] : metrics) {
    const bool whole = value == std::floor(value) && std::abs(value) < 0x1p53;
    json["metrics"][name] = whole ? Json(static_cast<int64_t>(value)) : Json(value);
  }
  for (const SampledText& sample : samples)
    json["samples"].push_back({{"prompt", sample.prompt}, {"text", sample.text}});
  if (!window_rule.empty()) json["window"] = window_rule;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace millrace::trainer
