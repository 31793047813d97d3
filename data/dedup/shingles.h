// Word shingles and the Jaccard of two texts (Broder, "On the resemblance and containment of documents", 1997).
//
// Words are those of data/corpus/unicode.h with A-Z in lower case. The shingles of a text are the set of its runs of
// `ngram_words` consecutive words; a text of fewer words has one shingle, all its words, and one without words has
// none. Jaccard = |A and B| / |A or B|; a text without words resembles nothing (0). This is the definition of
// testdata/dedup/README.md, with words of all scripts.
//
// A shingle is held as a 64-bit hash, so counts are exact but for a collision: one chance in 10^11 for two texts of
// 10 000 words.
#ifndef MILLRACE_DATA_DEDUP_SHINGLES_H_
#define MILLRACE_DATA_DEDUP_SHINGLES_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace millrace::data {

// Hashes of all shingles in the order of the text, repeated ones again. Replaces the content of `out`.
void ShinglesInOrder(absl::string_view text, int ngram_words, std::vector<uint64_t>& out);

// The set: sorted, each once.
using ShingleSet = std::vector<uint64_t>;
ShingleSet ShingleSetOf(absl::string_view text, int ngram_words);
void MakeSet(std::vector<uint64_t>& shingles);

struct Overlap {
  int64_t intersection = 0;
  int64_t union_size = 0;

  double jaccard() const { return union_size == 0 ? 0 : static_cast<double>(intersection) / union_size; }
};
// O(|a| + |b|).
Overlap OverlapOf(const ShingleSet& a, const ShingleSet& b);

}  // namespace millrace::data

#endif  // MILLRACE_DATA_DEDUP_SHINGLES_H_
