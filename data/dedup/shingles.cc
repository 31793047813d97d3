// A word is hashed eight bytes at a time; a shingle's hash is a polynomial of its words' hashes, rolled: the oldest
// word is taken out and the new one added, modulo 2^64, and the result mixed. All of it is fixed: hashes are the same
// on every machine and from run to run.
#include "data/dedup/shingles.h"

#include <algorithm>
#include <cstring>

#include "data/corpus/unicode.h"

namespace millrace::data {
namespace {

constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;  // odd: the golden ratio
constexpr uint64_t kOtherFactor = 0xd6e8feb86659fd93;

// A permutation of 64 bits in which every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x ^= x >> 32;
  x *= kOtherFactor;
  x ^= x >> 32;
  x *= kOtherFactor;
  x ^= x >> 32;
  return x;
}

// Eight bytes with A-Z in lower case; the others, those of UTF-8 among them, stay.
uint64_t LowerCase(uint64_t x) {
  const uint64_t ascii = ~x & 0x8080808080808080;
  const uint64_t low = x & 0x7f7f7f7f7f7f7f7f;
  const uint64_t from_a = low + 0x3f3f3f3f3f3f3f3f;    // bit 7: >= 'A'
  const uint64_t behind_z = low + 0x2525252525252525;  // bit 7: > 'Z'
  return x | ((from_a & ~behind_z & ascii) >> 2);
}

template <typename T>
uint64_t Load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// Up to eight bytes as a number that tells words of equal size apart.
uint64_t LoadTail(const char* p, size_t size) {
  if (size >= 4) return Load<uint32_t>(p) << 32 | Load<uint32_t>(p + size - 4);
  if (size >= 2) return Load<uint16_t>(p) << 16 | Load<uint16_t>(p + size - 2);
  return static_cast<uint8_t>(*p);
}

inline uint64_t WordHash(absl::string_view word) {
  uint64_t hash = word.size() * kFactor;
  const char* p = word.data();
  size_t size = word.size();
  for (; size > 8; p += 8, size -= 8) hash = Mix(hash ^ LowerCase(Load<uint64_t>(p)));
  return Mix(hash ^ LowerCase(LoadTail(p, size)));
}

}  // namespace

void ShinglesInOrder(absl::string_view text, int ngram_words, std::vector<uint64_t>& out) {
  out.clear();
  // out[i] is first the hash of word i, then that of the shingle that begins with it.
  ForEachWord(text, [&](absl::string_view word) { out.push_back(WordHash(word)); });
  const size_t words = out.size();
  if (words == 0) return;
  const size_t n = std::min<size_t>(words, ngram_words);
  uint64_t power = 1;  // kFactor^(n - 1)
  uint64_t sum = 0;    // word i * kFactor^(n - 1) + ... + word i+n-1
  for (size_t i = 0; i < n; ++i) {
    sum = sum * kFactor + out[i];
    if (i > 0) power *= kFactor;
  }
  const size_t shingles = words - n + 1;
  // The number of words belongs to the shingle: a short text's is no other's part.
  const uint64_t salt = n * kOtherFactor;
  for (size_t i = 0; i < shingles; ++i) {
    const uint64_t first = out[i];
    out[i] = Mix(sum ^ salt);
    if (i + 1 < shingles) sum = (sum - first * power) * kFactor + out[i + n];
  }
  out.resize(shingles);
}

void MakeSet(std::vector<uint64_t>& shingles) {
  std::sort(shingles.begin(), shingles.end());
  shingles.erase(std::unique(shingles.begin(), shingles.end()), shingles.end());
}

ShingleSet ShingleSetOf(absl::string_view text, int ngram_words) {
  ShingleSet shingles;
  ShinglesInOrder(text, ngram_words, shingles);
  MakeSet(shingles);
  return shingles;
}

Overlap OverlapOf(const ShingleSet& a, const ShingleSet& b) {
  int64_t intersection = 0;
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    const uint64_t x = a[i], y = b[j];
    intersection += x == y;
    i += x <= y;
    j += y <= x;
  }
  return {intersection, static_cast<int64_t>(a.size() + b.size()) - intersection};
}

}  // namespace millrace::data
