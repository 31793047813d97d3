// A sample of documents that changes little when the corpus does: those with the smallest hashes, as many as make up
// the bytes that are asked for.
#ifndef MILLRACE_DATA_CORPUS_HASH_SAMPLE_H_
#define MILLRACE_DATA_CORPUS_HASH_SAMPLE_H_

#include <algorithm>
#include <cstdint>
#include <queue>
#include <tuple>
#include <vector>

namespace millrace::data {

// In the order of (hash, ordinal), documents are taken while those before them have fewer than `bytes` bytes: at most
// one too many. Memory: 16 bytes and a hash for each document that is taken, not for those that are added. Not
// thread-safe.
template <typename Hash>
class HashSample {
 public:
  explicit HashSample(int64_t bytes) : bytes_(bytes) {}

  void Add(const Hash& hash, int64_t ordinal, int64_t text_bytes) {
    taken_.push({hash, ordinal, text_bytes});
    total_ += text_bytes;
    while (!taken_.empty() && total_ - taken_.top().text_bytes >= bytes_) {
      total_ -= taken_.top().text_bytes;
      taken_.pop();
    }
  }

  // The ordinals that are taken, ascending. Leaves nothing behind.
  std::vector<int64_t> Take() {
    std::vector<int64_t> ordinals;
    for (; !taken_.empty(); taken_.pop()) ordinals.push_back(taken_.top().ordinal);
    std::sort(ordinals.begin(), ordinals.end());
    return ordinals;
  }

 private:
  struct Entry {
    Hash hash;
    int64_t ordinal, text_bytes;
    friend bool operator<(const Entry& a, const Entry& b) {
      return std::tie(a.hash, a.ordinal) < std::tie(b.hash, b.ordinal);
    }
  };

  const int64_t bytes_;
  std::priority_queue<Entry> taken_;  // the largest hash on top
  int64_t total_ = 0;
};

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_HASH_SAMPLE_H_
