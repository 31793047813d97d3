// libcurl, opened when the first cache is asked: linking it would cost every start of the program 20 ms, and a machine
// that uses no cache need not have it.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_CURL_LIBRARY_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_CURL_LIBRARY_H_

#include <curl/curl.h>

#include "absl/status/statusor.h"

namespace millrace {

// The functions that are used, by their names without "curl_". Thread-safe.
struct CurlLibrary {
  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_reset) easy_reset;
  decltype(&curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_perform) easy_perform;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;

  // Opened once. Unavailable: it is not there; what to install is in the message.
  static const absl::StatusOr<CurlLibrary>& Get();
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_CURL_LIBRARY_H_
