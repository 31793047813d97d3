#include "executor/cas/remote/http_client.h"

#include <algorithm>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "executor/cas/remote/curl_library.h"

namespace millrace {
namespace {

constexpr long kBufferBytes = 512 << 10;
constexpr long kStallBytesPerSecond = 1000;

// One request on its way through libcurl's callbacks.
struct Exchange {
  const CurlLibrary* curl;
  CURL* handle;
  const HttpRequest* request;
  int64_t sent = 0;
  bool stopped = false;
  bool cannot_read = false;
  absl::Status ended;  // by the control

  static size_t OnBody(char* bytes, size_t size, size_t count, void* data) {
    auto& self = *static_cast<Exchange*>(data);
    const size_t n = size * count;
    long status = 0;
    self.curl->easy_getinfo(self.handle, CURLINFO_RESPONSE_CODE, &status);
    if ((status != 200 && status != 206) || self.request->on_body == nullptr) return n;
    if (!self.request->on_body(static_cast<int>(status), {bytes, n})) {
      self.stopped = true;
      return 0;
    }
    if (self.request->control.moved_bytes != nullptr) *self.request->control.moved_bytes += static_cast<int64_t>(n);
    return n;
  }

  static size_t OnRead(char* to, size_t size, size_t count, void* data) {
    auto& self = *static_cast<Exchange*>(data);
    const auto room = static_cast<size_t>(
        std::min<int64_t>(static_cast<int64_t>(size * count), self.request->body_bytes - self.sent));
    if (room == 0) return 0;
    const int64_t n = self.request->read_body(self.sent, to, room);
    if (n <= 0) {
      self.cannot_read = true;
      return CURL_READFUNC_ABORT;
    }
    self.sent += n;
    if (self.request->control.moved_bytes != nullptr) *self.request->control.moved_bytes += n;
    return static_cast<size_t>(n);
  }

  // A kept connection that turns out to be closed: the body starts again on a new one.
  static int OnSeek(void* data, curl_off_t offset, int origin) {
    auto& self = *static_cast<Exchange*>(data);
    if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
    if (self.request->control.moved_bytes != nullptr) *self.request->control.moved_bytes -= self.sent - offset;
    self.sent = offset;
    return CURL_SEEKFUNC_OK;
  }

  static int OnProgress(void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    auto& self = *static_cast<Exchange*>(data);
    const TransferControl& control = self.request->control;
    if (control.cancelled != nullptr && *control.cancelled) {
      self.ended = absl::CancelledError("interrupted");
    } else if (absl::Now() > control.deadline) {
      self.ended = absl::DeadlineExceededError("it took too long");
    }
    return self.ended.ok() ? 0 : 1;
  }
};

}  // namespace

HttpClient::~HttpClient() {
  if (idle_.empty()) return;
  for (void* handle : idle_) CurlLibrary::Get()->easy_cleanup(handle);
}

absl::StatusOr<const Credentials*> HttpClient::GetCredentials() {
  std::lock_guard lock(mutex_);
  if (!credentials_read_) credentials_ = ReadCredentials(source_);
  credentials_read_ = true;
  RETURN_IF_ERROR(credentials_.status());
  return &*credentials_;
}

absl::StatusOr<HttpResponse> HttpClient::Perform(const HttpRequest& request) {
  RETURN_IF_ERROR(CurlLibrary::Get().status());
  const CurlLibrary& curl = *CurlLibrary::Get();
  ASSIGN_OR_RETURN(const Credentials* credentials, GetCredentials());
  CURL* handle = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      handle = idle_.back();
      idle_.pop_back();
    }
  }
  if (handle == nullptr) handle = curl.easy_init();
  if (handle == nullptr) return absl::UnavailableError("libcurl has no memory");
  curl_slist* headers = nullptr;
  const auto give_back = absl::MakeCleanup([&] {
    curl.easy_reset(handle);  // keeps the connection
    curl.slist_free_all(headers);
    std::lock_guard lock(mutex_);
    idle_.push_back(handle);
  });

  Exchange exchange{.curl = &curl, .handle = handle, .request = &request};
  char error[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) { curl.easy_setopt(handle, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_ERRORBUFFER, error);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_USERAGENT, "millrace");
  set(CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(options_.connect_timeout)));
  set(CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(absl::ToInt64Seconds(options_.stall_timeout))));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Exchange::OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&exchange));
  set(CURLOPT_WRITEFUNCTION, &Exchange::OnBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
  if (!credentials->user_password.empty()) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    set(CURLOPT_USERPWD, credentials->user_password.c_str());
  } else if (!credentials->bearer.empty()) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    set(CURLOPT_XOAUTH2_BEARER, credentials->bearer.c_str());
  }
  std::string range;
  switch (request.method) {
    case HttpRequest::Method::kGet:
      set(CURLOPT_HTTPGET, 1L);
      if (request.first_byte > 0 || request.last_byte >= 0) {
        range = absl::StrCat(request.first_byte, "-");
        if (request.last_byte >= 0) absl::StrAppend(&range, request.last_byte);
        set(CURLOPT_RANGE, range.c_str());
      }
      break;
    case HttpRequest::Method::kHead:
      set(CURLOPT_NOBODY, 1L);
      break;
    case HttpRequest::Method::kPut:
      headers = curl.slist_append(headers, "Expect:");
      headers = curl.slist_append(headers, "Content-Type: application/octet-stream");
      set(CURLOPT_HTTPHEADER, headers);
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body_bytes));
      set(CURLOPT_READFUNCTION, &Exchange::OnRead);
      set(CURLOPT_READDATA, static_cast<void*>(&exchange));
      set(CURLOPT_SEEKFUNCTION, &Exchange::OnSeek);
      set(CURLOPT_SEEKDATA, static_cast<void*>(&exchange));
      break;
  }

  const CURLcode code = curl.easy_perform(handle);
  HttpResponse response;
  long status = 0;
  curl.easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
  curl_off_t length = -1;
  curl.easy_getinfo(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  response.content_length = length;
  response.stopped = exchange.stopped;
  RETURN_IF_ERROR(exchange.ended);
  if (exchange.cannot_read) return absl::DataLossError("the file to send cannot be read");
  // A server that refuses a body need not read it to its end: what it said counts.
  if (code == CURLE_OK || exchange.stopped || response.status >= 400) return response;
  return absl::UnavailableError(error[0] != '\0' ? error : curl.easy_strerror(code));
}

}  // namespace millrace
