#include "base/sha256.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"
#include "base/check.h"

namespace millrace {
namespace {

// Fetched once: with EVP_sha256() each hash would look it up again, which costs more than hashing a short string.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  MILLRACE_CHECK(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), Algorithm(), nullptr) == 1);
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
  // A context of each thread's own: making one costs as much as hashing a kilobyte.
  struct Context {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~Context() { EVP_MD_CTX_free(context); }
  };
  thread_local const Context reused;
  Sha256Bytes digest;
  MILLRACE_CHECK(EVP_DigestInit_ex(reused.context, Algorithm(), nullptr) == 1 &&
                 EVP_DigestUpdate(reused.context, bytes.data(), bytes.size()) == 1 &&
                 EVP_DigestFinal_ex(reused.context, digest.data(), nullptr) == 1);
  return digest;
}

std::string HexOf(const Sha256Bytes& digest) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace millrace
