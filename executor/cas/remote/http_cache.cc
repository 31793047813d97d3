// A blob is hashed as it comes. A large one is fetched in pieces over several connections, where there are processors
// for that, and hashed behind the last piece that is whole: SHA-256 of it takes one core, which then bounds the rate.
#include "executor/cas/remote/http_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kInPiecesFrom = int64_t{128} << 20;
constexpr int64_t kPieceBytes = int64_t{16} << 20;
constexpr int kConnections = 4;  // for one blob
// With fewer processors the hashing alone keeps them busy: one connection, hashed as it comes, costs the least.
constexpr unsigned kProcessorsForPieces = 4;
constexpr int kMaxTries = 8;      // of a transfer that breaks off and makes progress
constexpr int kMaxFruitless = 2;  // of those that make none
constexpr int64_t kMaxEntryBytes = int64_t{256} << 20;

absl::Status WriteAt(int fd, absl::string_view bytes, int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write", "the fetched blob");
    bytes.remove_prefix(n);
    offset += n;
  }
  return absl::OkStatus();
}

// What an answer that is neither a hit nor a success means.
absl::Status ErrorOf(const HttpResponse& response) {
  switch (response.status) {
    case 204:  // nginx, for a folder
    case 404:
    case 410:
      return absl::NotFoundError("not there");
    case 401:
    case 403:
    case 405:
    case 407:
      return absl::PermissionDeniedError(absl::StrCat("it answers ", response.status,
                                                      response.status == 401   ? " (the credentials do not count)"
                                                      : response.status == 403 ? " (forbidden)"
                                                                               : ""));
    case 413:
      return absl::OutOfRangeError("it answers 413 (too large)");
    case 507:
      return absl::UnavailableError("it answers 507 (full)");
    default:
      return absl::UnavailableError(absl::StrCat("it answers ", response.status));
  }
}

class HttpCache : public RemoteCache {
 public:
  explicit HttpCache(HttpCacheConfig config)
      : config_(std::move(config)), client_(config_.credentials, config_.client) {}

  const std::string& name() const override { return config_.url; }
  bool read_only() const override { return config_.read_only; }
  int64_t max_blob_bytes() const override { return config_.max_blob_bytes; }

  absl::StatusOr<std::string> GetEntry(const Digest& key) override {
    return GetInMemory(absl::StrCat(config_.url, "/ac/", key.Hex()), kMaxEntryBytes);
  }

  absl::Status PutEntry(const Digest& key, const std::string& entry) override {
    const BlobSource source = {.bytes = entry, .size_bytes = static_cast<int64_t>(entry.size())};
    return Put(absl::StrCat(config_.url, "/ac/", key.Hex()), source, {});
  }

  absl::Status HasBlob(const Digest& digest, int64_t size_bytes) override {
    HttpRequest request;
    request.method = HttpRequest::Method::kHead;
    request.url = BlobUrl(digest);
    ASSIGN_OR_RETURN(const HttpResponse response, client_.Perform(request));
    if (response.status != 200) return ErrorOf(response);
    if (response.content_length >= 0 && response.content_length != size_bytes)
      return absl::NotFoundError(absl::StrCat("there with ", response.content_length, " bytes"));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> GetBytes(const Digest& digest, int64_t max_bytes) override {
    ASSIGN_OR_RETURN(std::string bytes, GetInMemory(BlobUrl(digest), max_bytes));
    if (Digest::Of(bytes) != digest) return absl::DataLossError("the bytes do not match the digest");
    return bytes;
  }

  absl::Status GetBlob(const Digest& digest, int64_t size_bytes, const std::string& path,
                       const TransferControl& control) override {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return ErrnoError(errno, "create", path);
    absl::StatusOr<Digest> found = absl::UnimplementedError("");
    if (size_bytes >= kInPiecesFrom && config_.in_pieces) found = GetInPieces(digest, size_bytes, fd, control);
    if (absl::IsUnimplemented(found.status())) found = GetInOne(digest, size_bytes, fd, control);
    ::close(fd);
    absl::Status status = found.status();
    if (status.ok() && *found != digest) status = absl::DataLossError("the bytes do not match the digest");
    if (!status.ok()) ::unlink(path.c_str());
    return status;
  }

  absl::Status PutBlob(const Digest& digest, const BlobSource& source, const TransferControl& control) override {
    return Put(BlobUrl(digest), source, control);
  }

 private:
  std::string BlobUrl(const Digest& digest) const { return absl::StrCat(config_.url, "/cas/", digest.Hex()); }

  absl::StatusOr<std::string> GetInMemory(const std::string& url, int64_t max_bytes) {
    absl::Status broken;
    std::string bytes;
    for (int tries = 0; tries < kMaxTries; ++tries) {
      const size_t before = bytes.size();
      bool begun = false;
      HttpRequest request;
      request.url = url;
      request.first_byte = static_cast<int64_t>(before);
      request.on_body = [&](int status, absl::string_view more) {
        if (!std::exchange(begun, true) && status == 200) bytes.clear();
        if (static_cast<int64_t>(bytes.size() + more.size()) > max_bytes) return false;
        bytes.append(more.data(), more.size());
        return true;
      };
      const absl::StatusOr<HttpResponse> response = client_.Perform(request);
      if (response.ok() && response->stopped)
        return absl::DataLossError(absl::StrCat("it has more than ", max_bytes, " bytes"));
      if (response.ok() && response->status != 200 && response->status != 206) return ErrorOf(*response);
      if (response.ok()) return bytes;
      // On from where it broke off; who did not answer at all will not do so at once.
      broken = response.status();
      if (bytes.size() <= before) break;
    }
    return broken;
  }

  // Bytes [first, last] of a blob of `size_bytes`, handed to `use` in order. Unimplemented: the cache knows no ranges,
  // and one was needed.
  absl::Status GetRange(const Digest& digest, int64_t first, int64_t last, int64_t size_bytes,
                        const TransferControl& control,
                        const std::function<absl::Status(absl::string_view, int64_t)>& use) {
    int64_t at = first;
    int fruitless = 0;
    const bool whole = first == 0 && last == size_bytes - 1;
    for (int tries = 0; at <= last; ++tries) {
      const int64_t before = at;
      int64_t skip = 0;
      bool knows_no_ranges = false, too_long = false;
      absl::Status used;
      HttpRequest request;
      request.url = BlobUrl(digest);
      request.control = control;
      request.first_byte = at;
      request.last_byte = whole ? -1 : last;
      bool begun = false;
      request.on_body = [&](int status, absl::string_view bytes) {
        if (!begun && status == 200) {
          if (!whole) {
            knows_no_ranges = true;
            return false;
          }
          skip = at;
        }
        begun = true;
        const int64_t skipped = std::min<int64_t>(skip, bytes.size());
        bytes.remove_prefix(skipped);
        skip -= skipped;
        if (at + static_cast<int64_t>(bytes.size()) > last + 1) {
          too_long = true;
          return false;
        }
        used = use(bytes, at);
        at += static_cast<int64_t>(bytes.size());
        return used.ok();
      };
      const absl::StatusOr<HttpResponse> response = client_.Perform(request);
      RETURN_IF_ERROR(used);
      if (knows_no_ranges) return absl::UnimplementedError("no ranges");
      if (too_long) return absl::DataLossError(absl::StrCat("it has more than ", size_bytes, " bytes"));
      if (at > last) return absl::OkStatus();
      if (response.ok()) {
        if (response->status == 416)
          return absl::DataLossError(absl::StrCat("it has fewer than ", size_bytes, " bytes"));
        if (response->status != 200 && response->status != 206) return ErrorOf(*response);
        // A whole answer that is too short; one without a length may have been cut.
        if (response->content_length >= 0) {
          return absl::DataLossError(absl::StrCat("it has ", at, " bytes instead of ", size_bytes));
        }
      } else if (!absl::IsUnavailable(response.status())) {
        return response.status();
      }
      if (at == before) ++fruitless;
      if (fruitless >= kMaxFruitless || tries + 1 >= kMaxTries) {
        return response.ok()
                   ? absl::UnavailableError("transfers break off")
                   : absl::UnavailableError(absl::StrCat(response.status().message(), ", ", tries + 1, " times"));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Digest> GetInOne(const Digest& digest, int64_t size_bytes, int fd, const TransferControl& control) {
    Sha256 hash;
    RETURN_IF_ERROR(
        GetRange(digest, 0, size_bytes - 1, size_bytes, control, [&](absl::string_view bytes, int64_t offset) {
          hash.Update(bytes);
          return WriteAt(fd, bytes, offset);
        }));
    return Digest{hash.Finish()};
  }

  absl::StatusOr<Digest> GetInPieces(const Digest& digest, int64_t size_bytes, int fd, const TransferControl& control) {
    const int64_t count = (size_bytes + kPieceBytes - 1) / kPieceBytes;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<char> whole(count, 0);
    absl::Status failure;  // the first
    int64_t next = 1;
    const auto get = [&](int64_t piece) {
      const int64_t first = piece * kPieceBytes;
      return GetRange(digest, first, std::min(first + kPieceBytes, size_bytes) - 1, size_bytes, control,
                      [&](absl::string_view bytes, int64_t offset) { return WriteAt(fd, bytes, offset); });
    };
    // The first one alone: it tells whether the cache knows ranges.
    RETURN_IF_ERROR(get(0));
    whole[0] = 1;
    const auto work = [&] {
      while (true) {
        int64_t piece;
        {
          std::lock_guard lock(mutex);
          if (next >= count || !failure.ok()) return;
          piece = next++;
        }
        const absl::Status status = get(piece);
        std::lock_guard lock(mutex);
        if (status.ok()) whole[piece] = 1;
        if (!status.ok() && failure.ok()) failure = status;
        changed.notify_all();
      }
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < std::min<int64_t>(kConnections, count - 1); ++t) threads.emplace_back(work);
    Sha256 hash;
    std::vector<char> buffer(1 << 20);
    absl::Status status;
    for (int64_t piece = 0; piece < count && status.ok(); ++piece) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return whole[piece] != 0 || !failure.ok(); });
        status = failure;
      }
      const int64_t end = std::min((piece + 1) * kPieceBytes, size_bytes);
      for (int64_t at = piece * kPieceBytes; at < end && status.ok();) {
        const ssize_t n = ::pread(fd, buffer.data(), std::min<int64_t>(buffer.size(), end - at), at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
          status = ErrnoError(n < 0 ? errno : EIO, "read", "the fetched blob");
          break;
        }
        hash.Update({buffer.data(), static_cast<size_t>(n)});
        at += n;
      }
    }
    {
      std::lock_guard lock(mutex);
      if (failure.ok()) failure = status;
    }
    for (std::thread& thread : threads) thread.join();
    RETURN_IF_ERROR(status);
    return Digest{hash.Finish()};
  }

  absl::Status Put(const std::string& url, const BlobSource& source, const TransferControl& control) {
    int fd = -1;
    if (!source.path.empty()) {
      fd = ::open(source.path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) return ErrnoError(errno, "open", source.path);
    }
    const auto close = absl::MakeCleanup([fd] {
      if (fd >= 0) ::close(fd);
    });
    HttpRequest request;
    request.method = HttpRequest::Method::kPut;
    request.url = url;
    request.control = control;
    request.body_bytes = source.size_bytes;
    request.read_body = [&](int64_t offset, char* to, size_t room) -> int64_t {
      if (fd >= 0) return ::pread(fd, to, room, offset);
      return static_cast<int64_t>(source.bytes.copy(to, room, offset));
    };
    absl::StatusOr<HttpResponse> response = client_.Perform(request);
    if (absl::IsUnavailable(response.status())) response = client_.Perform(request);
    RETURN_IF_ERROR(response.status());
    if (response->status == 200 || response->status == 201 || response->status == 202 || response->status == 204)
      return absl::OkStatus();
    const absl::Status error = ErrorOf(*response);
    return absl::IsNotFound(error) ? absl::UnavailableError("it answers 404 to what is put there") : error;
  }

  const HttpCacheConfig config_;
  HttpClient client_;
};

}  // namespace

absl::Status CheckCacheUrl(absl::string_view url) {
  const size_t scheme = absl::StartsWith(url, "http://") ? 7 : absl::StartsWith(url, "https://") ? 8 : 0;
  const absl::string_view host = url.substr(scheme, url.find('/', scheme) - scheme);
  if (absl::StrContains(host, "@")) {
    // Not shown: there is a secret in it.
    return absl::InvalidArgumentError(
        "the URL of a cache holds credentials\n  why: it is in logs and on command lines\n  fix: name the variable or "
        "the file that has them: credentials_env or credentials_file in the cluster file's `cache`");
  }
  if (scheme == 0 || host.empty() || url.find_first_of("?# \t\n") != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", url, "\" is not the URL of a cache\n  fix: http://HOST[:PORT][/PATH] or https://..."));
  }
  return absl::OkStatus();
}

bool HttpCacheConfig::PiecesPay() { return std::thread::hardware_concurrency() >= kProcessorsForPieces; }

absl::StatusOr<std::unique_ptr<RemoteCache>> MakeHttpCache(HttpCacheConfig config) {
  while (absl::EndsWith(config.url, "/")) config.url.pop_back();
  RETURN_IF_ERROR(CheckCacheUrl(config.url));
  return std::make_unique<HttpCache>(std::move(config));
}

}  // namespace millrace
