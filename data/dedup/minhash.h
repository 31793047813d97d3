// MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4).
//
// A signature has bands x rows values; value i is the smallest of h_i over the set of shingles, so that two texts agree
// in it with a probability of their Jaccard J. Two texts are candidates if they agree in all rows of a band: with
// probability 1 - (1 - J^rows)^bands. Only a hash of each band is kept: 8 bytes times `bands` a document.
#ifndef MILLRACE_DATA_DEDUP_MINHASH_H_
#define MILLRACE_DATA_DEDUP_MINHASH_H_

#include <cstdint>
#include <vector>

namespace millrace::data {

// Immutable, thread-safe.
class MinHasher {
 public:
  MinHasher(int bands, int rows_per_band);

  int bands() const { return bands_; }

  // One hash for each band into out[0, bands). `shingles` may hold a shingle more than once, in any order, and is not
  // empty. About 0.15 ns a shingle and value with AVX2.
  void BandHashes(const std::vector<uint64_t>& shingles, uint64_t* out) const;

  // The signature itself. For tests and for estimates of Jaccard.
  std::vector<uint32_t> Signature(const std::vector<uint64_t>& shingles) const;

 private:
  int bands_;
  int rows_;
  std::vector<uint32_t> seeds_;  // of h_i, padded to whole vectors
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_DEDUP_MINHASH_H_
