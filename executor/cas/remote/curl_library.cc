#include "executor/cas/remote/curl_library.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

absl::StatusOr<CurlLibrary> Open() {
  void* library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("libcurl cannot be opened: ", ::dlerror(), "\n  fix: apt-get install libcurl4"));
  }
  CurlLibrary curl;
  const char* missing = nullptr;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) missing = name;
  };
  find(curl.global_init, "curl_global_init");
  find(curl.easy_init, "curl_easy_init");
  find(curl.easy_cleanup, "curl_easy_cleanup");
  find(curl.easy_reset, "curl_easy_reset");
  find(curl.easy_setopt, "curl_easy_setopt");
  find(curl.easy_getinfo, "curl_easy_getinfo");
  find(curl.easy_perform, "curl_easy_perform");
  find(curl.easy_strerror, "curl_easy_strerror");
  find(curl.slist_append, "curl_slist_append");
  find(curl.slist_free_all, "curl_slist_free_all");
  if (missing != nullptr) return absl::UnavailableError(absl::StrCat("libcurl has no function ", missing));
  if (curl.global_init(CURL_GLOBAL_ALL) != CURLE_OK) return absl::UnavailableError("libcurl cannot be started");
  return curl;
}

}  // namespace

const absl::StatusOr<CurlLibrary>& CurlLibrary::Get() {
  static const auto& library = *new absl::StatusOr<CurlLibrary>(Open());
  return library;
}

}  // namespace millrace
