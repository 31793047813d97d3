#include "data/corpus/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace millrace::data {
namespace {

constexpr size_t kInputBytes = 256 << 10;

class PlainSource : public ByteSource {
 public:
  PlainSource(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PlainSource() override { ::close(fd_); }

  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    while (true) {
      const ssize_t n = ::read(fd_, out, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read", path_);
      file_bytes_read_ += n;
      return n;
    }
  }

  int64_t file_bytes_read() const override { return file_bytes_read_; }
  const std::string& path() const { return path_; }

 private:
  const int fd_;
  const std::string path_;
  int64_t file_bytes_read_ = 0;
};

// What the two decompressors share: compressed bytes, a buffer at a time.
class CompressedSource : public ByteSource {
 public:
  CompressedSource(std::unique_ptr<PlainSource> file, absl::string_view format)
      : file_(std::move(file)), format_(format), buffer_(kInputBytes) {}
  int64_t file_bytes_read() const override { return file_->file_bytes_read(); }

 protected:
  // False at the end of the file.
  absl::StatusOr<bool> Fill() {
    ASSIGN_OR_RETURN(available_, file_->Read(buffer_.data(), buffer_.size()));
    next_ = buffer_.data();
    if (available_ == 0 && file_bytes_read() == 0) return Damaged("it is empty, which no compressed file is");
    return available_ > 0;
  }
  absl::Status Damaged(absl::string_view why,
                       absl::string_view fix = "get the file again, or leave it out with `exclude`") const {
    return absl::InvalidArgumentError(absl::StrCat(file_->path(), ": damaged ", format_, " data near byte ",
                                                   file_->file_bytes_read() - static_cast<int64_t>(available_),
                                                   "\n  why: ", why, "\n  fix: ", fix));
  }

  std::unique_ptr<PlainSource> file_;
  const absl::string_view format_;
  std::vector<char> buffer_;
  const char* next_ = nullptr;
  size_t available_ = 0;
};

class GzipSource : public CompressedSource {
 public:
  explicit GzipSource(std::unique_ptr<PlainSource> file) : CompressedSource(std::move(file), "gzip") {
    inflateInit2(&stream_, 15 + 16);  // a gzip header
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    while (true) {
      if (available_ == 0) {
        ASSIGN_OR_RETURN(const bool more, Fill());
        if (!more) {
          if (in_member_) return Damaged("it ends early");
          return 0;
        }
      }
      if (!in_member_) {
        inflateReset(&stream_);
        in_member_ = true;
      }
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(next_));
      stream_.avail_in = available_;
      stream_.next_out = reinterpret_cast<Bytef*>(out);
      stream_.avail_out = size;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      next_ += available_ - stream_.avail_in;
      available_ = stream_.avail_in;
      if (result == Z_STREAM_END) {
        in_member_ = false;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return Damaged(stream_.msg == nullptr ? "it is not gzip" : stream_.msg);
      }
      if (stream_.avail_out < size) return size - stream_.avail_out;
    }
  }

 private:
  z_stream stream_ = {};
  bool in_member_ = false;
};

class ZstdSource : public CompressedSource {
 public:
  explicit ZstdSource(std::unique_ptr<PlainSource> file)
      : CompressedSource(std::move(file), "zstd"), context_(ZSTD_createDCtx()) {}
  ~ZstdSource() override { ZSTD_freeDCtx(context_); }

  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    ZSTD_outBuffer output = {out, size, 0};
    while (true) {
      // Output that did not fit comes before more input is asked for.
      if (available_ == 0 && !pending_) {
        ASSIGN_OR_RETURN(const bool more, Fill());
        if (!more) {
          if (in_frame_) return Damaged("it ends early");
          return 0;
        }
      }
      ZSTD_inBuffer input = {next_, available_, 0};
      const size_t result = ZSTD_decompressStream(context_, &output, &input);
      if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge) {
        return absl::UnimplementedError(absl::StrCat(file_->path(),
                                                     ": its zstd window is larger than the 128 MiB that are supported"
                                                     "\n  fix: compress it again without --long=28 or more"));
      }
      if (ZSTD_isError(result)) return Damaged(ZSTD_getErrorName(result));
      next_ += input.pos;
      available_ -= input.pos;
      in_frame_ = result != 0;
      pending_ = in_frame_ && output.pos == output.size;
      if (output.pos > 0) return output.pos;
    }
  }

 private:
  ZSTD_DCtx* const context_;
  bool in_frame_ = false;
  bool pending_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> ByteSource::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "open", path);
  auto file = std::make_unique<PlainSource>(fd, path);
  if (absl::EndsWith(path, ".gz")) return std::make_unique<GzipSource>(std::move(file));
  if (absl::EndsWith(path, ".zst")) return std::make_unique<ZstdSource>(std::move(file));
  return file;
}

absl::string_view WithoutCompressionSuffix(absl::string_view path) {
  if (absl::ConsumeSuffix(&path, ".gz")) return path;
  absl::ConsumeSuffix(&path, ".zst");
  return path;
}

}  // namespace millrace::data
