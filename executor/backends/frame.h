// Protobuf messages over a stream of bytes, each behind its length (4 bytes, little-endian).
#ifndef MILLRACE_EXECUTOR_BACKENDS_FRAME_H_
#define MILLRACE_EXECUTOR_BACKENDS_FRAME_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"

namespace millrace {

// Of agent.proto and of what is meant by it.
constexpr int kAgentProtocolVersion = 1;
// Blobs are cut into pieces of this size, so that what is short need not wait long.
constexpr size_t kBlobPieceBytes = 256 << 10;

// Blocks until all is written. Unavailable: nobody reads any more, or not for as long as the socket waits
// (SO_SNDTIMEO).
absl::Status WriteFrame(int socket, const google::protobuf::MessageLite& message);
absl::Status WriteWhole(int socket, absl::string_view bytes);

// Cuts frames out of the bytes that come. Not thread-safe.
class FrameReader {
 public:
  void Append(absl::string_view bytes);
  // False: not whole yet. DataLoss: this is something else.
  absl::StatusOr<bool> Next(google::protobuf::MessageLite& message);

 private:
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_BACKENDS_FRAME_H_
