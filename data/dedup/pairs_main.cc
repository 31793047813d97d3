// Near-duplicate pairs of a JSONL file, one a line, as the `dedup` stage sees them:
//   bazel run //data/dedup:pairs -- --input=docs.jsonl [--jaccard_threshold=0.75] [--bands=14] [--rows_per_band=8]
//   {"a": "d00001", "b": "d01327", "inter": 222, "union": 296, "jaccard": 0.750000}
// with `id` and `text` of each input line, a < b, sorted. All texts are held in memory.
#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "data/dedup/minhash.h"
#include "data/dedup/near_duplicates.h"
#include "data/dedup/shingles.h"

ABSL_FLAG(std::string, input, "", "JSONL file with the fields `id` and `text`");
ABSL_FLAG(int, ngram_words, 5, "words of a shingle");
ABSL_FLAG(int, bands, 14, "bands of the MinHash signature");
ABSL_FLAG(int, rows_per_band, 8, "rows of a band");
ABSL_FLAG(double, jaccard_threshold, 0.75, "pairs below it are not printed");
ABSL_FLAG(int, threads, 1, "threads of the verification");

namespace millrace::data {
namespace {

int Main() {
  std::ifstream lines(absl::GetFlag(FLAGS_input));
  if (!lines) {
    std::fprintf(stderr, "cannot read --input=%s\n", absl::GetFlag(FLAGS_input).c_str());
    return 2;
  }
  const MinHasher hasher(absl::GetFlag(FLAGS_bands), absl::GetFlag(FLAGS_rows_per_band));
  BandTable table(hasher.bands());
  std::vector<std::string> ids;
  std::vector<ShingleSet> shingles;
  std::vector<uint64_t> hashes(hasher.bands());
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("id") || !json["id"].is_string() || !json.contains("text") ||
        !json["text"].is_string()) {
      std::fprintf(stderr, "%s:%zu: not {\"id\": \"...\", \"text\": \"...\"}\n", absl::GetFlag(FLAGS_input).c_str(),
                   ids.size() + 1);
      return 2;
    }
    ids.push_back(json["id"]);
    shingles.push_back(ShingleSetOf(json["text"].get_ref<const std::string&>(), absl::GetFlag(FLAGS_ngram_words)));
    if (shingles.back().empty()) continue;
    hasher.BandHashes(shingles.back(), hashes.data());
    table.Add(ids.size() - 1, hashes.data());
  }
  NearDuplicateOptions options;
  options.jaccard_threshold = absl::GetFlag(FLAGS_jaccard_threshold);
  options.threads = absl::GetFlag(FLAGS_threads);
  const auto pairs = NearDuplicatePairs(table, options, [&](uint32_t i) { return shingles[i]; });
  if (!pairs.ok()) {
    std::fprintf(stderr, "%s\n", std::string(pairs.status().message()).c_str());
    return 1;
  }
  std::vector<std::tuple<std::string, std::string, Overlap>> sorted;
  for (const NearDuplicatePair& pair : *pairs) {
    std::string a = ids[pair.a], b = ids[pair.b];
    if (b < a) std::swap(a, b);
    sorted.emplace_back(std::move(a), std::move(b), pair.overlap);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& x, const auto& y) {
    return std::tie(std::get<0>(x), std::get<1>(x)) < std::tie(std::get<0>(y), std::get<1>(y));
  });
  for (const auto& [a, b, overlap] : sorted) {
    std::printf("{\"a\": %s, \"b\": %s, \"inter\": %ld, \"union\": %ld, \"jaccard\": %.6f}\n",
                nlohmann::json(a).dump().c_str(), nlohmann::json(b).dump().c_str(), overlap.intersection,
                overlap.union_size, overlap.jaccard());
  }
  return 0;
}

}  // namespace
}  // namespace millrace::data

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("prints the near-duplicate pairs of a JSONL file: pairs --input=docs.jsonl");
  absl::ParseCommandLine(argc, argv);
  return millrace::data::Main();
}
