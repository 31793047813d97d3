// Near duplicates from band hashes: candidates are documents that share a band hash; each candidate pair is verified by
// the exact Jaccard of its shingles, which are computed again from the text, so that only 8 bytes a band and document
// are held.
#ifndef MILLRACE_DATA_DEDUP_NEAR_DUPLICATES_H_
#define MILLRACE_DATA_DEDUP_NEAR_DUPLICATES_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dedup/shingles.h"
#include "data/dedup/union_find.h"

namespace millrace::data {

struct NearDuplicateOptions {
  double jaccard_threshold = 0.75;
  bool verify = true;  // else every candidate pair counts
  int threads = 1;
};

// The documents that take part, by ordinals, and their band hashes.
class BandTable {
 public:
  // Room for `documents`: what is not used takes no memory.
  explicit BandTable(int bands, size_t documents = 0) : bands_(bands) {
    documents_.reserve(documents);
    hashes_.reserve(documents * bands);
  }

  int bands() const { return bands_; }
  // Band hashes of one more document. Ordinals come in increasing order.
  void Add(uint32_t document, const uint64_t* hashes) {
    documents_.push_back(document);
    hashes_.insert(hashes_.end(), hashes, hashes + bands_);
  }
  uint32_t size() const { return documents_.size(); }
  uint32_t document(uint32_t i) const { return documents_[i]; }
  uint64_t hash(uint32_t i, int band) const { return hashes_[static_cast<size_t>(i) * bands_ + band]; }

 private:
  int bands_;
  std::vector<uint32_t> documents_;
  std::vector<uint64_t> hashes_;
};

// Shingles of the document with this ordinal. Called from several threads.
using ReadShingles = std::function<absl::StatusOr<ShingleSet>(uint32_t document)>;

// Unites in `groups` (whose members are document ordinals) what candidate pairs connect. Afterwards the sets are the
// connected components of the graph whose edges are all candidate pairs at or above the threshold; pairs that are
// connected already are not verified again, so a thousand copies of one text cost a thousand verifications and not half
// a million. Deterministic whatever the number of threads. Returns how many pairs were verified. `interrupted` is asked
// now and then; Cancelled if it says so.
absl::StatusOr<int64_t> UniteNearDuplicates(const BandTable& table, const NearDuplicateOptions& options,
                                            const ReadShingles& read, const std::function<bool()>& interrupted,
                                            UnionFind& groups);

struct NearDuplicatePair {
  uint32_t a = 0, b = 0;  // document ordinals, a < b
  Overlap overlap;
};

// Every candidate pair at or above the threshold, sorted; each is verified. For inspection and tests: the number of
// pairs can be quadratic.
absl::StatusOr<std::vector<NearDuplicatePair>> NearDuplicatePairs(const BandTable& table,
                                                                  const NearDuplicateOptions& options,
                                                                  const ReadShingles& read);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_DEDUP_NEAR_DUPLICATES_H_
