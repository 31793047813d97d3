// h_i(x) is a mix of the low half of x, salted by i, with the high half: two multiplications, of 32 bits so that a
// vector register holds eight. The vector types are GCC's and Clang's; they compile to plain code elsewhere.
#include "data/dedup/minhash.h"

#include <algorithm>
#include <cstring>

namespace millrace::data {
namespace {

typedef uint32_t Vector __attribute__((vector_size(32)));
constexpr int kLanes = 8;
constexpr int kUnroll = 4;  // vectors at a time: enough of them to hide the latency of a multiplication
constexpr int kBlock = kLanes * kUnroll;

uint64_t SplitMix(uint64_t& state) {  // Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Smallest values of kBlock hash functions over all shingles.
void Minima(const std::vector<uint64_t>& shingles, const uint32_t* seeds, uint32_t* out) {
  Vector seed[kUnroll], least[kUnroll];
  std::memcpy(seed, seeds, sizeof(seed));
  std::memset(least, 0xFF, sizeof(least));
  for (const uint64_t shingle : shingles) {
    const uint32_t low = static_cast<uint32_t>(shingle), high = static_cast<uint32_t>(shingle >> 32);
    for (int v = 0; v < kUnroll; ++v) {
      Vector h = (seed[v] ^ low) * 0x9e3779b1u;
      h ^= h >> 15;
      h = (h + high) * 0x85ebca77u;
      h ^= h >> 16;
      least[v] = h < least[v] ? h : least[v];
    }
  }
  std::memcpy(out, least, sizeof(least));
}

}  // namespace

MinHasher::MinHasher(int bands, int rows_per_band) : bands_(bands), rows_(rows_per_band) {
  const int values = bands * rows_per_band;
  seeds_.resize((values + kBlock - 1) / kBlock * kBlock);
  uint64_t state = 0x6d696c6c72616365;  // any constant
  for (uint32_t& seed : seeds_) seed = SplitMix(state) >> 32;
}

std::vector<uint32_t> MinHasher::Signature(const std::vector<uint64_t>& shingles) const {
  std::vector<uint32_t> signature(seeds_.size());
  for (size_t i = 0; i < seeds_.size(); i += kBlock) Minima(shingles, &seeds_[i], &signature[i]);
  signature.resize(bands_ * rows_);
  return signature;
}

void MinHasher::BandHashes(const std::vector<uint64_t>& shingles, uint64_t* out) const {
  thread_local std::vector<uint32_t> signature;
  signature.resize(seeds_.size());
  for (size_t i = 0; i < seeds_.size(); i += kBlock) Minima(shingles, &seeds_[i], &signature[i]);
  for (int band = 0; band < bands_; ++band) {
    uint64_t hash = band;
    for (int row = 0; row < rows_; ++row) {
      hash = (hash ^ signature[band * rows_ + row]) * 0xd6e8feb86659fd93;
      hash ^= hash >> 32;
    }
    out[band] = hash;
  }
}

}  // namespace millrace::data
