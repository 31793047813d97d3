#include "executor/backends/free_port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"

namespace millrace {

absl::StatusOr<int> FreePort(bool all_interfaces) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "make a socket for", "the gang's rendezvous");
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(all_interfaces ? INADDR_ANY : INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool good = ::bind(fd, reinterpret_cast<struct sockaddr*>(&address), size) == 0 &&
                    ::getsockname(fd, reinterpret_cast<struct sockaddr*>(&address), &size) == 0;
  const int error = errno;
  ::close(fd);
  if (!good) return ErrnoError(error, "find a port for", "the gang's rendezvous");
  return ntohs(address.sin_port);
}

}  // namespace millrace
