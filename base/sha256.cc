#include "base/sha256.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"
#include "base/check.h"

namespace millrace {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  // Looking the algorithm up costs more than hashing a short string.
  static const EVP_MD* const algorithm = EVP_sha256();
  MILLRACE_CHECK(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), algorithm, nullptr) == 1);
}

Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::Update(absl::string_view bytes) {
  MILLRACE_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1);
}

Sha256Bytes Sha256::Finish() {
  Sha256Bytes digest;
  MILLRACE_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.data(), nullptr) == 1);
  return digest;
}

Sha256Bytes Sha256Of(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

std::string HexOf(const Sha256Bytes& digest) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace millrace
