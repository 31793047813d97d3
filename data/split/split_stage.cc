// Three passes: places of all documents; shingles of the held-out ones; then each training document is looked up in
// their index and everything is written.
#include "data/split/split_stage.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/parallel.h"
#include "base/quantity.h"
#include "base/status_macros.h"
#include "data/corpus/document.h"
#include "data/corpus/document_pass.h"
#include "data/corpus/text_hash.h"
#include "data/dedup/shingles.h"
#include "data/split/overlap_index.h"
#include "data/split/twin_key.h"

namespace millrace::data {
namespace {

constexpr int kNgramWords = 5;
constexpr int kExamples = 5;
constexpr int64_t kMaxShingles = int64_t{1} << 28;  // 4 GiB of index
constexpr absl::string_view kDomain("millrace.split.v1\0", 18);

// Documents that stay together.
struct Group {
  uint64_t place = UINT64_MAX;
  int64_t bytes = 0;
  bool held_out = false;
};

class Splitter {
 public:
  Splitter(Stage& stage, const Split& parameters, DocumentReader reader)
      : stage_(stage), parameters_(parameters), reader_(std::move(reader)) {}

  absl::Status Run() {
    RETURN_IF_ERROR(Place());
    RETURN_IF_ERROR(Choose());
    RETURN_IF_ERROR(IndexHeldOut());
    RETURN_IF_ERROR(Write());
    RETURN_IF_ERROR(ReportExamples());
    return ReportMetrics();
  }

 private:
  absl::Status Place() {
    struct Placed {
      uint64_t place;
      TextHash key;
      DocumentPosition position;
    };
    absl::flat_hash_map<TextHash, uint32_t> group_of_key;
    group_of_.reserve(reader_.documents());
    positions_.reserve(reader_.documents());
    return RunPass<Placed>(
        stage_, reader_, {0, 2, "hash"},
        [&](Document& document, const DocumentPlace& place, Placed& out) {
          out.place = TextHashOf(kDomain, document.text).high;
          if (parameters_.keep_twins_together()) out.key = TextHashOf(TwinKey(document.id));
          out.position = place.position;
        },
        [&](Document& document, Placed& placed) {
          uint32_t group = groups_.size();
          if (parameters_.keep_twins_together()) group = group_of_key.emplace(placed.key, group).first->second;
          if (group == groups_.size()) groups_.emplace_back();
          groups_[group].place = std::min(groups_[group].place, placed.place);
          groups_[group].bytes += document.text.size();
          group_of_.push_back(group);
          positions_.push_back(placed.position);
          bytes_in_ += document.text.size();
          return absl::OkStatus();
        });
  }

  absl::Status Choose() {
    std::optional<int64_t> max_bytes;
    if (parameters_.has_held_out_max()) {
      ASSIGN_OR_RETURN(max_bytes, ParseBytes(parameters_.held_out_max()));
    }
    std::vector<uint32_t> candidates;
    for (uint32_t g = 0; g < groups_.size(); ++g) {
      // 53 bits: exact in a double.
      if ((groups_[g].place >> 11) * 0x1p-53 < parameters_.held_out_fraction()) candidates.push_back(g);
    }
    std::sort(candidates.begin(), candidates.end(), [&](uint32_t a, uint32_t b) {
      return groups_[a].place != groups_[b].place ? groups_[a].place < groups_[b].place : a < b;
    });
    int64_t bytes = 0;
    for (const uint32_t g : candidates) {
      if (max_bytes.has_value() && bytes + groups_[g].bytes > *max_bytes) continue;
      bytes += groups_[g].bytes;
      groups_[g].held_out = true;
    }
    for (uint32_t i = 0; i < group_of_.size(); ++i) {
      if (IsHeldOut(i)) held_out_.push_back(i);
    }
    if (held_out_.empty() && parameters_.held_out_fraction() > 0 && !group_of_.empty()) {
      stage_.ReportWarning(
          absl::StrCat("no document of ", group_of_.size(), " is held out: raise held_out_fraction or held_out_max"));
    }
    return absl::OkStatus();
  }
  bool IsHeldOut(uint32_t document) const { return groups_[group_of_[document]].held_out; }

  absl::Status IndexHeldOut() {
    // In parts, so that what has become too much is noticed before it is held.
    constexpr size_t kPart = 1024;
    std::vector<ShingleSet> shingles(held_out_.size());
    std::vector<TextHash> hashes(held_out_.size());
    std::vector<absl::Status> errors(held_out_.size());
    int64_t total = 0;
    for (size_t begin = 0; begin < held_out_.size(); begin += kPart) {
      const size_t end = std::min(held_out_.size(), begin + kPart);
      if (Stage::Interrupted()) return absl::CancelledError("interrupted");
      ParallelFor(stage_.threads(), end - begin, [&](int64_t i) {
        absl::StatusOr<Document> document = reader_.ReadAt(positions_[held_out_[begin + i]]);
        if (!document.ok()) {
          errors[begin + i] = document.status();
          return;
        }
        shingles[begin + i] = ShingleSetOf(document->text, kNgramWords);
        shingles[begin + i].shrink_to_fit();
        hashes[begin + i] = TextHashOf(document->text);
      });
      for (size_t i = begin; i < end; ++i) {
        RETURN_IF_ERROR(errors[i]);
        total += shingles[i].size();
      }
      if (total > kMaxShingles) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "the held-out documents have more than ", kMaxShingles,
            " shingles, too many to compare training documents with\n  fix: held_out_max: \"1GB\" or less"));
      }
    }
    held_out_texts_.insert(hashes.begin(), hashes.end());
    index_.emplace(std::move(shingles), stage_.threads());
    return absl::OkStatus();
  }

  // Whether a training document must go, and the held-out one that it is too near to.
  struct Nearness {
    bool drop = false;
    double jaccard = 0;
    uint32_t held_out = 0;  // index into held_out_, where jaccard > 0
  };
  Nearness NearnessOf(const Document& document) const {
    thread_local std::vector<uint64_t> shingles;
    ShinglesInOrder(document.text, kNgramWords, shingles);
    const OverlapIndex::Nearest nearest = index_->FindNearest(shingles);
    Nearness nearness = {false, nearest.jaccard, nearest.document};
    nearness.drop = (nearest.jaccard > 0 && nearest.jaccard >= parameters_.drop_train_jaccard()) ||
                    (nearest.jaccard == 0 && shingles.empty() && held_out_texts_.contains(TextHashOf(document.text)));
    return nearness;
  }

  absl::Status Write() {
    ASSIGN_OR_RETURN(const std::string out, stage_.OutputPath("documents"));
    DocumentWriter writer(out);
    struct Fate {
      std::string line;
      Nearness nearness;
    };
    uint32_t ordinal = 0;
    RETURN_IF_ERROR(RunPass<Fate>(
        stage_, reader_, {1, 2, "write"},
        [&](Document& document, const DocumentPlace& place, Fate& fate) {
          document.held_out = IsHeldOut(place.ordinal);
          if (!document.held_out) fate.nearness = NearnessOf(document);
          if (!fate.nearness.drop) AppendDocumentLine(document, fate.line);
        },
        [&](Document& document, Fate& fate) -> absl::Status {
          const uint32_t i = ordinal++;
          const int64_t size = document.text.size();
          if (fate.nearness.drop) {
            ++dropped_;
            bytes_dropped_ += size;
            if (examples_.size() < kExamples) examples_.emplace_back(i, fate.nearness);
            return absl::OkStatus();
          }
          ++(document.held_out ? documents_held_out_ : documents_train_);
          (document.held_out ? bytes_held_out_ : bytes_train_) += size;
          return writer.WriteLine(fate.line, size);
        }));
    return writer.Close(reader_.sources());
  }

  absl::Status ReportExamples() const {
    for (const auto& [i, nearness] : examples_) {
      ASSIGN_OR_RETURN(const Document dropped, reader_.ReadAt(positions_[i]));
      std::string title = absl::StrCat(dropped.id, ": its text is held out");
      if (nearness.jaccard > 0) {
        ASSIGN_OR_RETURN(const Document held_out, reader_.ReadAt(positions_[held_out_[nearness.held_out]]));
        title =
            absl::StrFormat("%s: Jaccard %.3f with %s, which is held out", dropped.id, nearness.jaccard, held_out.id);
      }
      stage_.ReportExample("dropped: near a held-out document", title, dropped.text);
    }
    return absl::OkStatus();
  }

  absl::Status ReportMetrics() const {
    const int64_t documents_in = group_of_.size();
    if (documents_in != documents_train_ + documents_held_out_ + dropped_ || documents_held_out_ != held_out_.size() ||
        bytes_in_ != bytes_train_ + bytes_held_out_ + bytes_dropped_) {
      return absl::InternalError(absl::StrCat("the books do not balance: ", documents_in, " documents in, ",
                                              documents_train_, " train, ", documents_held_out_, " held out, ",
                                              dropped_, " dropped"));
    }
    stage_.ReportMetric("documents_in", documents_in);
    stage_.ReportMetric("documents_train", documents_train_);
    stage_.ReportMetric("documents_held_out", documents_held_out_);
    stage_.ReportMetric("documents_dropped", dropped_);
    stage_.ReportMetric("bytes_in", bytes_in_);
    stage_.ReportMetric("bytes_train", bytes_train_);
    stage_.ReportMetric("bytes_held_out", bytes_held_out_);
    stage_.ReportMetric("bytes_dropped", bytes_dropped_);
    return absl::OkStatus();
  }

  Stage& stage_;
  const Split& parameters_;
  DocumentReader reader_;
  std::vector<DocumentPosition> positions_;
  std::vector<uint32_t> group_of_;  // by document
  std::vector<Group> groups_;
  std::vector<uint32_t> held_out_;  // documents
  absl::flat_hash_set<TextHash> held_out_texts_;
  std::optional<OverlapIndex> index_;
  std::vector<std::pair<uint32_t, Nearness>> examples_;
  int64_t documents_train_ = 0, documents_held_out_ = 0, dropped_ = 0;
  int64_t bytes_in_ = 0, bytes_train_ = 0, bytes_held_out_ = 0, bytes_dropped_ = 0;
};

}  // namespace

absl::Status RunSplit(Stage& stage, const Split& parameters) {
  ASSIGN_OR_RETURN(const std::string from, stage.InputPath("from"));
  ASSIGN_OR_RETURN(DocumentReader reader, OpenNumbered({from}, "split"));
  return Splitter(stage, parameters, std::move(reader)).Run();
}

}  // namespace millrace::data
