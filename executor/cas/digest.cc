#include "executor/cas/digest.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

int Nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

absl::StatusOr<Digest> Digest::ParseHex(absl::string_view hex) {
  Digest digest;
  bool good = hex.size() == 2 * digest.bytes.size();
  for (size_t i = 0; good && i < digest.bytes.size(); ++i) {
    const int high = Nibble(hex[2 * i]);
    const int low = Nibble(hex[2 * i + 1]);
    good = high >= 0 && low >= 0;
    digest.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  if (!good) return absl::InvalidArgumentError(absl::StrCat("\"", hex, "\" is not 64 lower-case hexadecimal digits"));
  return digest;
}

absl::StatusOr<Digest> Digest::Parse(absl::string_view text) {
  constexpr absl::string_view kPrefix = "sha256:";
  if (!absl::StartsWith(text, kPrefix))
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a digest: it does not begin with sha256:"));
  return ParseHex(text.substr(kPrefix.size()));
}

}  // namespace millrace
