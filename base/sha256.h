// SHA-256 (FIPS 180-4), by OpenSSL.
#ifndef MILLRACE_BASE_SHA256_H_
#define MILLRACE_BASE_SHA256_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace millrace {

// 32 bytes; ordered as bytes.
using Sha256Bytes = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::string_view bytes);
  // Ends the hash; call once.
  Sha256Bytes Finish();

 private:
  void* context_;
};

Sha256Bytes Sha256Of(absl::string_view bytes);
// Lower-case hexadecimal, 64 characters.
std::string HexOf(const Sha256Bytes& digest);
inline std::string Sha256Hex(absl::string_view bytes) { return HexOf(Sha256Of(bytes)); }

}  // namespace millrace

#endif  // MILLRACE_BASE_SHA256_H_
