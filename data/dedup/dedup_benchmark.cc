// Speed of deduplication on one thread, in bytes of text a second:
//   bazel run //data/dedup:dedup_benchmark
// The text is the fixture (English, Chinese and code; 70 % of its documents have a near duplicate), many times over
// with other letters each time.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "data/corpus/document.h"
#include "data/corpus/stage_harness.h"
#include "data/dedup/dedup_stage.h"
#include "data/dedup/minhash.h"
#include "data/dedup/shingles.h"

namespace millrace::data {
namespace {

constexpr int kCopies = 16;

const std::vector<Document>& Fixture() {
  static const auto* documents = new std::vector<Document>(DocumentsOfJsonl("data/dedup/testdata/dedup/docs.jsonl"));
  return *documents;
}

// Letters moved on by `by`; ideographs too, by changing the last of their three bytes.
std::string Shifted(std::string text, int by) {
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = text[i];
    if (c >= 'a' && c <= 'z') text[i] = 'a' + (c - 'a' + by) % 26;
    if (c >= 'A' && c <= 'Z') text[i] = 'A' + (c - 'A' + by) % 26;
    if (c >= 0xE4 && c <= 0xE9 && i + 2 < text.size()) {
      text[i + 2] = static_cast<char>(0x80 | ((text[i + 2] + by) & 0x3F));
      i += 2;
    }
  }
  return text;
}

void BM_Shingles(benchmark::State& state) {
  std::vector<uint64_t> shingles;
  int64_t bytes = 0;
  for (auto _ : state) {
    for (const Document& document : Fixture()) {
      ShinglesInOrder(document.text, 5, shingles);
      benchmark::DoNotOptimize(shingles.data());
      bytes += document.text.size();
    }
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_Shingles)->Unit(benchmark::kMillisecond);

void BM_MinHash14x8(benchmark::State& state) {
  const MinHasher hasher(14, 8);
  std::vector<std::vector<uint64_t>> shingles(Fixture().size());
  for (size_t i = 0; i < shingles.size(); ++i) ShinglesInOrder(Fixture()[i].text, 5, shingles[i]);
  std::vector<uint64_t> hashes(hasher.bands());
  int64_t bytes = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < shingles.size(); ++i) {
      if (shingles[i].empty()) continue;
      hasher.BandHashes(shingles[i], hashes.data());
      benchmark::DoNotOptimize(hashes.data());
      bytes += Fixture()[i].text.size();
    }
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_MinHash14x8)->Unit(benchmark::kMillisecond);

// The whole stage: read, exact and near duplicates, verify, write.
void BM_Stage(benchmark::State& state) {
  StageHarness harness;
  std::vector<Document> documents;
  for (int copy = 0; copy < kCopies; ++copy) {
    for (Document document : Fixture()) {
      document.id = absl::StrCat(document.id, "-", copy);
      document.text = Shifted(std::move(document.text), copy);
      documents.push_back(std::move(document));
    }
  }
  harness.AddInput("from.0", documents);
  Dedup parameters;
  parameters.mutable_exact();
  parameters.mutable_minhash();
  int64_t bytes = 0;
  for (auto _ : state) {
    const StageOutcome outcome = harness.Run([&](Stage& stage) { return RunDedup(stage, parameters); }, state.range(0));
    if (!outcome.status.ok()) state.SkipWithError(std::string(outcome.status.message()).c_str());
    bytes += outcome.metrics.at("bytes_in");
    state.counters["kept"] = outcome.metrics.at("documents_kept_fraction");
    state.counters["verified"] = outcome.metrics.at("pairs_verified");
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_Stage)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace millrace::data
