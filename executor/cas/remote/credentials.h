// Who we are to a cache. The secret is read when it is first used and goes nowhere but into the request's header.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_CREDENTIALS_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_CREDENTIALS_H_

#include <string>

#include "absl/status/statusor.h"

namespace millrace {

// At most one is set.
struct CredentialsSource {
  std::string variable;  // name of a variable of the environment
  std::string file;
};

// At most one is set.
struct Credentials {
  std::string user_password;  // "user:password"
  std::string bearer;         // a token
};

// "user:password" with a colon, else a token; blanks around it do not count. FailedPrecondition: it is named and not
// there, or has a line break in it; the message names the place, never the content.
absl::StatusOr<Credentials> ReadCredentials(const CredentialsSource& source);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_CREDENTIALS_H_
