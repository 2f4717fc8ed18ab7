#include "drivers/mqtt/reachable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace wattd::drivers::mqtt {
namespace {

struct Socket {
  int fd;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

/// The errno of a connection attempt; 0 when it succeeded.
int try_address(const addrinfo& address, std::chrono::milliseconds patience) {
  const Socket socket{
      ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol)};
  if (socket.fd < 0) return errno;
  if (connect(socket.fd, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd writable{.fd = socket.fd, .events = POLLOUT};
  if (poll(&writable, 1, static_cast<int>(patience.count())) <= 0) return ETIMEDOUT;
  int problem = 0;
  socklen_t size = sizeof problem;
  getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &problem, &size);
  return problem;
}

}  // namespace

std::string unreachable_because(const std::string& host, int port, std::chrono::milliseconds patience) {
  addrinfo hints{.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0) {
    return fmt::format("{} is not found: {}", host, gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  int problem = 0;
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    problem = try_address(*address, patience);
    if (problem == 0) return {};
  }
  return fmt::format("{}:{} cannot be reached: {}", host, port, std::generic_category().message(problem));
}

}  // namespace wattd::drivers::mqtt
