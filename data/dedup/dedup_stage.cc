// Two passes. The first hashes each document: its text, its normalized text, its bands. Then the groups are made and
// the survivors chosen; the second pass writes them.
#include "data/dedup/dedup_stage.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/corpus/document_pass.h"
#include "data/corpus/text_hash.h"
#include "data/corpus/unicode.h"
#include "data/dedup/minhash.h"
#include "data/dedup/near_duplicates.h"
#include "data/dedup/shingles.h"
#include "data/dedup/union_find.h"

namespace millrace::data {
namespace {

constexpr int kExamples = 5;  // of each kind

// What the first pass keeps of a document.
struct Hashes {
  DocumentPosition position;
  TextHash text, normalized;
  std::vector<uint64_t> bands;  // empty: no words, or no MinHash
};

class Deduplicator {
 public:
  Deduplicator(Stage& stage, const Dedup& parameters, DocumentReader reader)
      : stage_(stage),
        parameters_(parameters),
        reader_(std::move(reader)),
        ngram_words_(parameters.minhash().ngram_words()),
        hasher_(parameters.minhash().bands(), parameters.minhash().rows_per_band()),
        table_(hasher_.bands(), parameters.has_minhash() ? reader_.documents() : 0),
        groups_(reader_.documents()) {}

  absl::Status Run() {
    RETURN_IF_ERROR(HashAll());
    if (parameters_.has_minhash()) RETURN_IF_ERROR(Unite());
    ChooseSurvivors();
    RETURN_IF_ERROR(Write());
    RETURN_IF_ERROR(ReportExamples());
    return ReportMetrics();
  }

 private:
  absl::Status HashAll() {
    const bool exact = parameters_.has_exact(), minhash = parameters_.has_minhash();
    const bool normalize = parameters_.exact().normalize_whitespace();
    positions_.reserve(reader_.documents());
    text_hashes_.reserve(reader_.documents());
    absl::flat_hash_map<TextHash, uint32_t> first_of;
    if (exact) first_of.reserve(reader_.documents());
    const auto map = [&](Document& document, const DocumentPlace& place, Hashes& hashes) {
      hashes.position = place.position;
      hashes.text = hashes.normalized = TextHashOf(document.text);
      if (exact && normalize) {
        if (const std::string text = WithNormalizedWhiteSpace(document.text); text != document.text)
          hashes.normalized = TextHashOf(text);
      }
      if (!minhash) return;
      thread_local std::vector<uint64_t> shingles;
      ShinglesInOrder(document.text, ngram_words_, shingles);
      if (shingles.empty()) return;
      hashes.bands.resize(hasher_.bands());
      hasher_.BandHashes(shingles, hashes.bands.data());
    };
    const auto reduce = [&](Document& document, Hashes& hashes) {
      const uint32_t ordinal = positions_.size();
      positions_.push_back(hashes.position);
      text_hashes_.push_back(hashes.text);
      bytes_in_ += document.text.size();
      bool is_first = true;
      if (exact) {
        const auto [it, inserted] = first_of.emplace(hashes.normalized, ordinal);
        is_first = inserted;
        if (!inserted) {
          groups_.Union(it->second, ordinal);
          ++exact_duplicates_;
        }
      }
      if (is_first && !hashes.bands.empty()) table_.Add(ordinal, hashes.bands.data());
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(RunPass<Hashes>(stage_, reader_, {0, 2, "hash"}, map, reduce));
    groups_.Flatten();
    exact_roots_.resize(groups_.size());
    for (uint32_t i = 0; i < groups_.size(); ++i) exact_roots_[i] = groups_.RootOf(i);
    return absl::OkStatus();
  }

  absl::StatusOr<ShingleSet> ReadShingles(uint32_t document) const {
    ASSIGN_OR_RETURN(const Document read, reader_.ReadAt(positions_[document]));
    return ShingleSetOf(read.text, ngram_words_);
  }

  absl::Status Unite() {
    NearDuplicateOptions options;
    options.jaccard_threshold = parameters_.minhash().jaccard_threshold();
    options.verify = parameters_.minhash().verify();
    options.threads = stage_.threads();
    ASSIGN_OR_RETURN(pairs_verified_, UniteNearDuplicates(
                                          table_, options, [this](uint32_t document) { return ReadShingles(document); },
                                          Stage::Interrupted, groups_));
    return absl::OkStatus();
  }

  void ChooseSurvivors() {
    groups_.Flatten();
    survivors_.resize(groups_.size());
    std::vector<uint32_t> members(groups_.size());
    for (uint32_t i = 0; i < groups_.size(); ++i) {
      const uint32_t root = groups_.RootOf(i);
      if (root == i || text_hashes_[i] < text_hashes_[survivors_[root]]) survivors_[root] = i;
      if (++members[root] == 2) ++duplicate_groups_;
    }
  }
  uint32_t SurvivorOf(uint32_t document) const { return survivors_[groups_.RootOf(document)]; }

  absl::Status Write() {
    ASSIGN_OR_RETURN(const std::string out, stage_.OutputPath("documents"));
    DocumentWriter writer(out);
    RETURN_IF_ERROR(RunPass<std::string>(
        stage_, reader_, {1, 2, "write"},
        [&](Document& document, const DocumentPlace& place, std::string& line) {
          if (SurvivorOf(place.ordinal) == place.ordinal) AppendDocumentLine(document, line);
        },
        [&](Document& document, std::string& line) {
          return line.empty() ? absl::OkStatus() : writer.WriteLine(line, document.text.size());
        }));
    RETURN_IF_ERROR(writer.Close(reader_.sources()));
    documents_kept_ = writer.documents();
    bytes_kept_ = writer.text_bytes();
    return absl::OkStatus();
  }

  absl::Status ReportExamples() const {
    int exact = 0, near = 0;
    for (uint32_t i = 0; i < groups_.size() && (exact < kExamples || near < kExamples); ++i) {
      const uint32_t kept = SurvivorOf(i);
      if (kept == i) continue;
      const bool is_exact = exact_roots_[i] == exact_roots_[kept];
      int& reported = is_exact ? exact : near;
      if (reported == kExamples) continue;
      ++reported;
      ASSIGN_OR_RETURN(const Document dropped, reader_.ReadAt(positions_[i]));
      ASSIGN_OR_RETURN(const Document twin, reader_.ReadAt(positions_[kept]));
      if (is_exact) {
        stage_.ReportExample("dropped: exact duplicate", absl::StrCat(dropped.id, ": the text of ", twin.id),
                             dropped.text);
      } else {
        const double jaccard =
            OverlapOf(ShingleSetOf(dropped.text, ngram_words_), ShingleSetOf(twin.text, ngram_words_)).jaccard();
        stage_.ReportExample("dropped: near duplicate",
                             absl::StrFormat("%s: Jaccard %.3f with %s, which stays", dropped.id, jaccard, twin.id),
                             dropped.text);
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReportMetrics() const {
    const int64_t documents_in = groups_.size();
    int64_t near_duplicates = 0;  // exact classes that another one of their group stands for
    for (uint32_t i = 0; i < groups_.size(); ++i)
      near_duplicates += exact_roots_[i] == i && exact_roots_[SurvivorOf(i)] != i;
    if (documents_in != documents_kept_ + exact_duplicates_ + near_duplicates) {
      return absl::InternalError(absl::StrCat("the books do not balance: ", documents_in, " documents in, ",
                                              documents_kept_, " kept, ", exact_duplicates_, " exact and ",
                                              near_duplicates, " near duplicates"));
    }
    stage_.ReportMetric("documents_in", documents_in);
    stage_.ReportMetric("documents_kept", documents_kept_);
    stage_.ReportMetric("documents_kept_fraction",
                        documents_in == 0 ? 1 : static_cast<double>(documents_kept_) / documents_in);
    stage_.ReportMetric("exact_duplicates", exact_duplicates_);
    stage_.ReportMetric("near_duplicates", near_duplicates);
    stage_.ReportMetric("duplicate_groups", duplicate_groups_);
    stage_.ReportMetric("pairs_verified", pairs_verified_);
    stage_.ReportMetric("bytes_in", bytes_in_);
    stage_.ReportMetric("bytes_kept", bytes_kept_);
    return absl::OkStatus();
  }

  Stage& stage_;
  const Dedup& parameters_;
  DocumentReader reader_;
  const int ngram_words_;
  const MinHasher hasher_;
  BandTable table_;
  std::vector<DocumentPosition> positions_;
  std::vector<TextHash> text_hashes_;
  std::vector<uint32_t> exact_roots_;  // the first document with the same normalized text
  std::vector<uint32_t> survivors_;    // by root
  UnionFind groups_;
  int64_t bytes_in_ = 0, bytes_kept_ = 0, documents_kept_ = 0;
  int64_t exact_duplicates_ = 0, duplicate_groups_ = 0, pairs_verified_ = 0;
};

}  // namespace

std::string WithNormalizedWhiteSpace(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  const char* p = text.data();
  const char* const end = p + text.size();
  const uint8_t* const classes = CodePointClasses();
  const char* run = nullptr;  // where text without white space began
  const auto end_run = [&](const char* at) {
    if (run == nullptr) return;
    if (!out.empty()) out += ' ';
    out.append(run, at - run);
    run = nullptr;
  };
  while (p != end) {
    const char* const at = p;
    const uint32_t c = static_cast<uint8_t>(*p) < 0x80 ? static_cast<uint8_t>(*p++) : NextCodePoint(p, end);
    if (c < kClassifiedCodePoints && (classes[c] & kWhiteSpace)) {
      end_run(at);
    } else if (run == nullptr) {
      run = at;
    }
  }
  end_run(end);
  return out;
}

absl::Status RunDedup(Stage& stage, const Dedup& parameters) {
  if (!parameters.has_exact() && !parameters.has_minhash())
    return absl::InvalidArgumentError("dedup has nothing to look for\n  fix: exact {}, minhash {} or both");
  ASSIGN_OR_RETURN(DocumentReader reader, OpenNumbered(stage.InputPaths("from"), "dedup"));
  return Deduplicator(stage, parameters, std::move(reader)).Run();
}

}  // namespace millrace::data
