#include "drivers/modbus/port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

int milliseconds_until(Instant until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

/// Reading and writing are the same for both; opening is not.
class Descriptor : public Port {
 public:
  explicit Descriptor(Address address) : address_(std::move(address)) {}
  ~Descriptor() override { shut(); }

  void close() override { shut(); }

  Result<void> write(std::span<const std::uint8_t> bytes) override {
    while (!bytes.empty()) {
      const auto sent = ::write(fd_, bytes.data(), bytes.size());
      if (sent > 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
        continue;
      }
      pollfd writable{.fd = fd_, .events = POLLOUT, .revents = 0};
      const bool again = sent < 0 && (errno == EAGAIN || errno == EINTR);
      if (!again || ::poll(&writable, 1, static_cast<int>(address_.timeout.count())) <= 0) return lost("written to");
    }
    return {};
  }

  Result<std::vector<std::uint8_t>> read(Instant until) override {
    std::vector<std::uint8_t> bytes(kMost);
    while (true) {
      const auto got = ::read(fd_, bytes.data(), bytes.size());
      if (got > 0) {
        bytes.resize(static_cast<std::size_t>(got));
        return bytes;
      }
      if (got == 0 && !address_.is_serial()) return lost("read: the other side has closed it");
      if (got < 0 && errno != EAGAIN && errno != EINTR) return lost("read");
      pollfd readable{.fd = fd_, .events = POLLIN, .revents = 0};
      const int ready = ::poll(&readable, 1, milliseconds_until(until));
      if (ready == 0) return std::vector<std::uint8_t>{};
      // An adapter that was pulled out says so here, or reads as nothing for ever.
      if (ready > 0 && (readable.revents & (POLLERR | POLLNVAL)) != 0) return lost("read");
      if (ready > 0 && got == 0 && (readable.revents & POLLHUP) != 0) return lost("read");
    }
  }

  void rest(Instant until) override { std::this_thread::sleep_until(until); }

 protected:
  std::unexpected<Error> lost(std::string_view doing) {
    const auto why = errno == 0 ? std::string() : std::string(": ") + std::strerror(errno);
    shut();
    return fail(ErrorKind::retry, fmt::format("{} cannot be {}{}", address_.text(), doing, why));
  }
  void shut() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  Address address_;
  int fd_ = -1;

 private:
  static constexpr std::size_t kMost = 1024;
};

speed_t speed_of(int baud) {
  switch (baud) {
    case 1200: return B1200;
    case 2400: return B2400;
    case 4800: return B4800;
    case 19200: return B19200;
    case 38400: return B38400;
    case 57600: return B57600;
    case 115200: return B115200;
    default: return B9600;
  }
}

class SerialPort final : public Descriptor {
 public:
  using Descriptor::Descriptor;

  Result<bool> open() override {
    if (fd_ >= 0) return false;
    fd_ = ::open(address_.device.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd_ < 0) return lost("opened");
    termios line{};
    if (::tcgetattr(fd_, &line) != 0) return lost("opened: it is no serial device");
    ::cfmakeraw(&line);
    ::cfsetispeed(&line, speed_of(address_.baud));
    ::cfsetospeed(&line, speed_of(address_.baud));
    line.c_cflag |= CLOCAL | CREAD | CS8;
    line.c_cflag &= ~static_cast<tcflag_t>(CRTSCTS | CSTOPB | PARENB | PARODD);
    if (address_.stop_bits == 2) line.c_cflag |= CSTOPB;
    if (address_.parity != 'N') line.c_cflag |= PARENB;
    if (address_.parity == 'O') line.c_cflag |= PARODD;
    line.c_cc[VMIN] = 0;
    line.c_cc[VTIME] = 0;
    if (::tcsetattr(fd_, TCSANOW, &line) != 0) return lost("set to these parameters");
    if (::ioctl(fd_, TIOCEXCL) != 0) return lost("taken for this program alone");  // a second master would break both
    ::tcflush(fd_, TCIOFLUSH);
    return true;
  }
};

class TcpPort final : public Descriptor {
 public:
  using Descriptor::Descriptor;

  Result<bool> open() override {
    if (fd_ >= 0) return false;
    const addrinfo hints{.ai_flags = AI_ADDRCONFIG, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    addrinfo* found = nullptr;
    const int problem = ::getaddrinfo(address_.host.c_str(), std::to_string(address_.port).c_str(), &hints, &found);
    if (problem != 0)
      return fail(ErrorKind::retry, fmt::format("{} is not known: {}", address_.host, ::gai_strerror(problem)));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, ::freeaddrinfo);
    Result<void> outcome{};
    for (const auto* one = all.get(); one != nullptr; one = one->ai_next) {
      outcome = connect(*one);
      if (outcome) return true;
    }
    if (!outcome) return std::unexpected(outcome.error());
    return fail(ErrorKind::retry, address_.host + " has no address");
  }

 private:
  Result<void> connect(const addrinfo& where) {
    fd_ = ::socket(where.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return lost("opened");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (::connect(fd_, where.ai_addr, where.ai_addrlen) == 0) return {};
    if (errno != EINPROGRESS) return lost("connected to");
    pollfd writable{.fd = fd_, .events = POLLOUT, .revents = 0};
    if (::poll(&writable, 1, static_cast<int>(address_.timeout.count())) <= 0) {
      errno = ETIMEDOUT;
      return lost("connected to");
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem == 0) return {};
    errno = problem;
    return lost("connected to");
  }
};

}  // namespace

std::unique_ptr<Port> serial_port(const Address& address) { return std::make_unique<SerialPort>(address); }
std::unique_ptr<Port> tcp_port(const Address& address) { return std::make_unique<TcpPort>(address); }

}  // namespace wattd::drivers::modbus
