// HTTP/1.1 requests over kept connections, as a cache needs them: GET (of a range), HEAD and PUT with Content-Length.
// No redirects, no chunked bodies, no `Expect: 100-continue`. https is checked against the system's certificates.
#ifndef MILLRACE_EXECUTOR_CAS_REMOTE_HTTP_CLIENT_H_
#define MILLRACE_EXECUTOR_CAS_REMOTE_HTTP_CLIENT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "executor/cas/remote/credentials.h"

namespace millrace {

// What a transfer is watched and ended by.
struct TransferControl {
  const std::atomic<bool>* cancelled = nullptr;  // ends it with Cancelled
  absl::Time deadline = absl::InfiniteFuture();  // ends it with DeadlineExceeded
  std::atomic<int64_t>* moved_bytes = nullptr;   // added to while bytes of bodies move
};

struct HttpRequest {
  enum class Method { kGet, kHead, kPut };
  Method method = Method::kGet;
  std::string url;

  // kGet: from which byte on, and the last one (-1: to the end). 0 and -1: no range is asked for.
  int64_t first_byte = 0;
  int64_t last_byte = -1;
  // kGet: pieces of the body of an answer 200 or 206. Returns whether to go on.
  std::function<bool(int http_status, absl::string_view bytes)> on_body;

  // kPut: the body's size, and a function that copies some of it from an offset: how many bytes, -1: it cannot.
  int64_t body_bytes = 0;
  std::function<int64_t(int64_t offset, char* to, size_t room)> read_body;

  TransferControl control;
};

struct HttpResponse {
  int status = 0;
  int64_t content_length = -1;  // -1: not said
  bool stopped = false;         // by on_body
};

// Thread-safe: each call has a connection of its own, kept for the next.
class HttpClient {
 public:
  struct Options {
    absl::Duration connect_timeout = absl::Seconds(5);
    absl::Duration stall_timeout = absl::Seconds(10);  // without a thousand bytes a second
  };
  HttpClient(CredentialsSource credentials, Options options) : source_(std::move(credentials)), options_(options) {}
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Any answer is an answer, whatever its status. Unavailable: there was none, or it broke off. FailedPrecondition: the
  // credentials are not there. Cancelled, DeadlineExceeded: as the control says.
  absl::StatusOr<HttpResponse> Perform(const HttpRequest& request);

 private:
  absl::StatusOr<const Credentials*> GetCredentials();

  const CredentialsSource source_;
  const Options options_;
  std::mutex mutex_;
  std::vector<void*> idle_;  // handles with their connections
  bool credentials_read_ = false;
  absl::StatusOr<Credentials> credentials_ = Credentials();
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_CAS_REMOTE_HTTP_CLIENT_H_
