// Postings are sorted by shingle; since shingles are hashes, their top bits say where to look: a table of starts by top
// bits, about two postings for each entry. The sort is by radix on those bits and then, part by part, on threads.
#include "data/split/overlap_index.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "base/parallel.h"

namespace millrace::data {

OverlapIndex::OverlapIndex(std::vector<ShingleSet> documents, int threads) {
  size_t total = 0;
  for (const ShingleSet& document : documents) {
    sizes_.push_back(document.size());
    total += document.size();
  }
  int bits = 1;
  while (bits < 32 && (size_t{2} << bits) < total) ++bits;
  shift_ = 64 - bits;
  starts_.resize((size_t{1} << bits) + 1);
  for (const ShingleSet& document : documents) {
    for (const uint64_t shingle : document) ++starts_[(shingle >> shift_) + 1];
  }
  for (size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  postings_.resize(total);
  std::vector<uint64_t> next(starts_.begin(), starts_.end() - 1);
  for (uint32_t d = 0; d < documents.size(); ++d) {
    for (const uint64_t shingle : documents[d]) postings_[next[shingle >> shift_]++] = {shingle, d};
    documents[d] = ShingleSet();
  }
  constexpr size_t kPart = 4096;
  const size_t entries = starts_.size() - 1;
  ParallelFor(threads, (entries + kPart - 1) / kPart, [&](int64_t part) {
    for (size_t i = part * kPart; i < std::min(entries, (part + 1) * kPart); ++i) {
      // Stable, and documents were placed in order.
      std::stable_sort(postings_.begin() + starts_[i], postings_.begin() + starts_[i + 1],
                       [](const Posting& a, const Posting& b) { return a.shingle < b.shingle; });
    }
  });
}

const OverlapIndex::Posting* OverlapIndex::Find(uint64_t shingle) const {
  const size_t entry = shingle >> shift_;
  for (size_t i = starts_[entry]; i < starts_[entry + 1]; ++i) {
    if (postings_[i].shingle == shingle) return &postings_[i];
    if (postings_[i].shingle > shingle) break;
  }
  return nullptr;
}

OverlapIndex::Nearest OverlapIndex::FindNearest(std::vector<uint64_t>& shingles) const {
  if (std::none_of(shingles.begin(), shingles.end(), [this](uint64_t shingle) { return Find(shingle) != nullptr; }))
    return {};
  MakeSet(shingles);
  absl::flat_hash_map<uint32_t, int64_t> common;  // document -> shingles
  const Posting* const end = postings_.data() + postings_.size();
  for (const uint64_t shingle : shingles) {
    for (const Posting* p = Find(shingle); p != nullptr && p != end && p->shingle == shingle; ++p)
      ++common[p->document];
  }
  Nearest nearest;
  for (const auto& [document, intersection] : common) {
    const int64_t union_size = static_cast<int64_t>(shingles.size()) + sizes_[document] - intersection;
    const double jaccard = Overlap{intersection, union_size}.jaccard();
    if (jaccard > nearest.jaccard || (jaccard == nearest.jaccard && document < nearest.document))
      nearest = {jaccard, document};
  }
  return nearest;
}

}  // namespace millrace::data
