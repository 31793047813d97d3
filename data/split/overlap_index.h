// An inverted index over the shingles of the held-out documents: exact Jaccard of any document with all of them at
// once.
#ifndef MILLRACE_DATA_SPLIT_OVERLAP_INDEX_H_
#define MILLRACE_DATA_SPLIT_OVERLAP_INDEX_H_

#include <cstdint>
#include <vector>

#include "data/dedup/shingles.h"

namespace millrace::data {

// 16 bytes a shingle: about 3 bytes for each byte of English text, 6 of Chinese. Immutable once built, then
// thread-safe.
class OverlapIndex {
 public:
  // documents[i] is the set of shingles of document i. Their memory is given back as they are read.
  OverlapIndex(std::vector<ShingleSet> documents, int threads);

  struct Nearest {
    double jaccard = 0;  // 0: no shingle in common with any
    uint32_t document = 0;
  };
  // The document with the largest Jaccard with these shingles (repeated ones allowed, any order; sorted when there is a
  // hit); of equal ones the first.
  Nearest FindNearest(std::vector<uint64_t>& shingles) const;

 private:
  struct Posting {
    uint64_t shingle;
    uint32_t document;
  };
  // The postings of a shingle: [begin, end).
  const Posting* Find(uint64_t shingle) const;

  std::vector<Posting> postings_;  // sorted
  std::vector<uint32_t> sizes_;    // shingles of each document
  std::vector<uint64_t> starts_;   // by the top bits of a shingle
  int shift_ = 64;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_SPLIT_OVERLAP_INDEX_H_
