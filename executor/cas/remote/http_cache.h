// A cache over HTTP as Bazel's clients use it: PUT, GET and HEAD of {url}/ac/{key} and {url}/cas/{SHA-256}. nginx with
// DAV and bazel-remote are such caches.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_HTTP_CACHE_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_HTTP_CACHE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "executor/cas/remote/credentials.h"
#include "executor/cas/remote/http_client.h"
#include "executor/cas/remote/remote_cache.h"

namespace millrace {

struct HttpCacheConfig {
  std::string url;  // http:// or https://, without credentials in it
  bool read_only = false;
  int64_t max_blob_bytes = INT64_MAX;
  CredentialsSource credentials;
  bool in_pieces = PiecesPay();  // large blobs over several connections at a time
  static bool PiecesPay();
  HttpClient::Options client;
};

// InvalidArgument: the URL is not as above; one with credentials in it is not repeated.
absl::Status CheckCacheUrl(absl::string_view url);

// InvalidArgument: see CheckCacheUrl. Nothing is sent yet.
absl::StatusOr<std::unique_ptr<RemoteCache>> MakeHttpCache(HttpCacheConfig config);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_HTTP_CACHE_H_
