#include "executor/cas/remote/credentials.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace millrace {

absl::StatusOr<Credentials> ReadCredentials(const CredentialsSource& source) {
  Credentials credentials;
  std::string secret, place;
  if (!source.variable.empty()) {
    place = absl::StrCat("the variable ", source.variable);
    const char* value = std::getenv(source.variable.c_str());
    if (value == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("credentials: ", place, " is not set\n  fix: export it as user:password or as a token"));
    }
    secret = value;
  } else if (!source.file.empty()) {
    place = source.file;
    absl::StatusOr<std::string> content = ReadFile(source.file);
    if (!content.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("credentials: ", content.status().message(),
                                                        "\n  fix: write user:password or a token to that file"));
    }
    secret = *std::move(content);
  } else {
    return credentials;
  }
  absl::StripAsciiWhitespace(&secret);
  if (secret.empty() || absl::StrContains(secret, "\n") || absl::StrContains(secret, "\r")) {
    return absl::FailedPreconditionError(absl::StrCat("credentials: ", place,
                                                      secret.empty() ? " is empty" : " has several lines",
                                                      "\n  fix: one line, user:password or a token"));
  }
  (absl::StrContains(secret, ":") ? credentials.user_password : credentials.bearer) = std::move(secret);
  return credentials;
}

}  // namespace millrace
