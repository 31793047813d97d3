// The name of a blob: the SHA-256 of its bytes. Written "sha256:<64 lower-case hexadecimal digits>".
#ifndef MILLRACE_EXECUTOR_CAS_DIGEST_H_
#define MILLRACE_EXECUTOR_CAS_DIGEST_H_

#include <cstring>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/sha256.h"

namespace millrace {

struct Digest {
  Sha256Bytes bytes = {};

  static Digest Of(absl::string_view content) { return {Sha256Of(content)}; }
  // InvalidArgument if `text` is not as above.
  static absl::StatusOr<Digest> Parse(absl::string_view text);
  static absl::StatusOr<Digest> ParseHex(absl::string_view hex);

  std::string Hex() const { return HexOf(bytes); }
  std::string ToString() const { return "sha256:" + Hex(); }

  friend auto operator<=>(const Digest&, const Digest&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Digest& digest) {
    size_t prefix;  // already uniform
    std::memcpy(&prefix, digest.bytes.data(), sizeof(prefix));
    return H::combine(std::move(state), prefix);
  }
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_DIGEST_H_
