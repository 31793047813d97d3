// The one file that speaks to c10d. Its exceptions become a Status here (Guarded); what() carries a stack trace, so
// what_without_backtrace() is shown, cut to its first line.
//
// Debian's Gloo headers are older than the Gloo inside libtorch_cpu: nothing here touches a Gloo type but by pointer.
#include "trainer/comm/gloo_comm.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>

#include "ATen/ops/from_blob.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp"
#include "torch/csrc/distributed/c10d/TCPStore.hpp"

namespace millrace::trainer {
namespace {

std::string FirstLine(absl::string_view text) {
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  return lines.empty() ? "no message" : std::string(lines.front());
}

absl::Status FromException(absl::string_view message) {
  const std::string line = FirstLine(message);
  const std::string lower = absl::AsciiStrToLower(line);
  if (absl::StrContains(lower, "timed out") || absl::StrContains(lower, "timeout"))
    return absl::DeadlineExceededError(line);
  return absl::UnavailableError(line);
}

// Runs `body`; an exception of c10d becomes Unavailable or DeadlineExceeded.
template <typename Body>
absl::Status Guarded(Body body) {
  try {
    body();
    return absl::OkStatus();
  } catch (const c10::Error& error) {
    return FromException(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return FromException(error.what());
  }
}

// A socket of this kind connected to host:port, or -1. For UDP nothing is sent.
int Connect(const std::string& host, int port, int kind) {
  addrinfo hints = {};
  hints.ai_socktype = kind;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &found) != 0) return -1;
  int fd = -1;
  for (const addrinfo* a = found; a != nullptr && fd < 0; a = a->ai_next) {
    fd = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd >= 0 && ::connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
      ::close(fd);
      fd = -1;
    }
  }
  ::freeaddrinfo(found);
  return fd;
}

// The address of this host from which host:port is reached.
absl::StatusOr<std::string> OwnAddress(const std::string& host, int port) {
  const int fd = Connect(host, port, SOCK_DGRAM);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("no route to \"", host, "\""));
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char text[NI_MAXHOST] = "";
  const bool ok =
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0;
  ::close(fd);
  if (!ok) return absl::UnavailableError(absl::StrCat("no own address towards \"", host, "\""));
  return std::string(text);
}

// TCPStore tries again only after a second: wait here until rank 0 listens.
absl::Status WaitForMaster(const GlooOptions& options) {
  const absl::Time deadline = absl::Now() + options.timeout;
  while (true) {
    const int fd = Connect(options.master_address, options.master_port, SOCK_STREAM);
    if (fd >= 0) {
      ::close(fd);
      return absl::OkStatus();
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat("rank 0 does not listen at ", options.master_address, ":",
                                                      options.master_port, " (waited ",
                                                      absl::FormatDuration(options.timeout), ")"));
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
}

class GlooComm : public Comm {
 public:
  explicit GlooComm(GlooOptions options) : options_(std::move(options)) {}

  absl::Status Join() {
    if (options_.rank > 0) RETURN_IF_ERROR(WaitForMaster(options_));
    std::string address;
    if (options_.interface.empty()) {
      ASSIGN_OR_RETURN(address, OwnAddress(options_.master_address, options_.master_port));
    }
    return Guarded([&] {
      const auto timeout = absl::ToChronoMilliseconds(options_.timeout);
      c10d::TCPStoreOptions store_options;
      store_options.port = static_cast<uint16_t>(options_.master_port);
      store_options.isServer = options_.rank == 0;
      store_options.numWorkers = options_.world_size;
      store_options.waitWorkers = false;  // the group's own handshake waits for all
      store_options.timeout = timeout;
      store_ = c10::make_intrusive<c10d::TCPStore>(options_.master_address, store_options);
      auto group_options = c10d::ProcessGroupGloo::Options::create(timeout);
      group_options->devices.push_back(options_.interface.empty()
                                           ? c10d::ProcessGroupGloo::createDeviceForHostname(address)
                                           : c10d::ProcessGroupGloo::createDeviceForInterface(options_.interface));
      group_options->threads = 1;
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, options_.rank, options_.world_size, group_options);
    });
  }

  int rank() const override { return options_.rank; }
  int world_size() const override { return options_.world_size; }

  absl::Status AllReduceSum(absl::Span<int64_t> values, absl::string_view what) override {
    return AllReduce(at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kLong), what);
  }
  absl::Status AllReduceSum(absl::Span<float> values, absl::string_view what) override {
    return AllReduce(at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kFloat), what);
  }

  absl::Status AllGather(absl::Span<const uint8_t> mine, absl::Span<uint8_t> all, absl::string_view what) override {
    MILLRACE_CHECK(all.size() == mine.size() * world_size());
    return Run("all-gather", what, [&] {
      at::Tensor in = Bytes(const_cast<uint8_t*>(mine.data()), mine.size()), out = Bytes(all.data(), all.size());
      return group_->_allgather_base(out, in);
    });
  }

  absl::Status Broadcast(absl::Span<uint8_t> bytes, int root, absl::string_view what) override {
    return Run("broadcast", what, [&] {
      std::vector<at::Tensor> tensors = {Bytes(bytes.data(), bytes.size())};
      c10d::BroadcastOptions broadcast;
      broadcast.rootRank = root;
      return group_->broadcast(tensors, broadcast);
    });
  }

  absl::Status Barrier(absl::string_view what) override {
    return Run("barrier", what, [&] { return group_->barrier(); });
  }

 private:
  static at::Tensor Bytes(uint8_t* data, size_t size) {
    return at::from_blob(data, {static_cast<int64_t>(size)}, at::kByte);
  }

  absl::Status AllReduce(at::Tensor tensor, absl::string_view what) {
    return Run("all-reduce", what, [&] {
      std::vector<at::Tensor> tensors = {std::move(tensor)};
      return group_->allreduce(tensors);
    });
  }

  template <typename Start>
  absl::Status Run(absl::string_view collective, absl::string_view what, Start start) {
    return AnnotateCollective(Guarded([&] { start()->wait(); }), *this, collective, what);
  }

  const GlooOptions options_;
  c10::intrusive_ptr<c10d::TCPStore> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Comm>> NewGlooComm(const GlooOptions& options) {
  auto comm = std::make_unique<GlooComm>(options);
  RETURN_IF_ERROR(AnnotateCollective(comm->Join(), *comm, "joining the gang", ""));
  return comm;
}

}  // namespace millrace::trainer
