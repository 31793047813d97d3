// The first 16 bytes of a SHA-256, ordered as bytes: what the data stages tell texts apart by. Two of 10^12 texts are
// confused with a chance of 10^-15.
#ifndef MILLRACE_DATA_CORPUS_TEXT_HASH_H_
#define MILLRACE_DATA_CORPUS_TEXT_HASH_H_

#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/sha256.h"

namespace millrace::data {

struct TextHash {
  uint64_t high = 0, low = 0;

  friend auto operator<=>(const TextHash&, const TextHash&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const TextHash& hash) {
    return H::combine(std::move(state), hash.high, hash.low);
  }
};

inline TextHash HeadOf(const Sha256Bytes& digest) {
  TextHash hash;
  std::memcpy(&hash.high, digest.data(), 8);
  std::memcpy(&hash.low, digest.data() + 8, 8);
  return {__builtin_bswap64(hash.high), __builtin_bswap64(hash.low)};
}

inline TextHash TextHashOf(absl::string_view text) { return HeadOf(Sha256Of(text)); }

// Of `domain` and then the text: hashes for another purpose, independent of the plain ones. No `domain` that is used
// begins with another.
inline TextHash TextHashOf(absl::string_view domain, absl::string_view text) {
  Sha256 sha;
  sha.Update(domain);
  sha.Update(text);
  return HeadOf(sha.Finish());
}

}  // namespace millrace::data

#endif  // MILLRACE_DATA_CORPUS_TEXT_HASH_H_
