// Digests as the 32 bytes that messages carry.
#ifndef MILLRACE_EXECUTOR_BACKENDS_DIGEST_BYTES_H_
#define MILLRACE_EXECUTOR_BACKENDS_DIGEST_BYTES_H_

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "executor/cas/digest.h"

namespace millrace {

inline std::string BytesOf(const Digest& digest) {
  return std::string(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

inline absl::StatusOr<Digest> DigestFromBytes(const std::string& bytes) {
  Digest digest;
  if (bytes.size() != digest.bytes.size()) return absl::InvalidArgumentError("a digest has 32 bytes");
  std::memcpy(digest.bytes.data(), bytes.data(), bytes.size());
  return digest;
}

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_DIGEST_BYTES_H_
