#include "executor/backends/frame.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace millrace {
namespace {

constexpr size_t kMaxFrame = 256 << 20;

}  // namespace

absl::Status WriteWhole(int socket, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::UnavailableError(errno == EAGAIN ? "the other side takes nothing" : std::strerror(errno));
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status WriteFrame(int socket, const google::protobuf::MessageLite& message) {
  std::string bytes(sizeof(uint32_t), '\0');
  if (!message.AppendToString(&bytes) || bytes.size() > kMaxFrame)
    return absl::InvalidArgumentError(absl::StrCat("a message of ", bytes.size(), " bytes is too long"));
  const auto size = static_cast<uint32_t>(bytes.size() - sizeof(uint32_t));
  std::memcpy(bytes.data(), &size, sizeof(size));
  return WriteWhole(socket, bytes);
}

void FrameReader::Append(absl::string_view bytes) {
  if (begin_ > 0 && begin_ * 2 >= buffer_.size()) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<bool> FrameReader::Next(google::protobuf::MessageLite& message) {
  uint32_t size;
  if (buffer_.size() - begin_ < sizeof(size)) return false;
  std::memcpy(&size, buffer_.data() + begin_, sizeof(size));
  if (size > kMaxFrame) return absl::DataLossError("not a message of Millrace's");
  if (buffer_.size() - begin_ - sizeof(size) < size) return false;
  const char* data = buffer_.data() + begin_ + sizeof(size);
  begin_ += sizeof(size) + size;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return absl::DataLossError("not a message of Millrace's");
  return true;
}

}  // namespace millrace
