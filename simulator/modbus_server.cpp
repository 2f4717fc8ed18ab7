#include "simulator/modbus_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <modbus.h>
#include <poll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <vector>

#include "telemetry/clock.h"

namespace wattd::simulator {
namespace {

struct Free {
  void operator()(modbus_t* context) const { modbus_free(context); }
};
using Context = std::unique_ptr<modbus_t, Free>;

std::runtime_error failure(const std::string& what) {
  return std::runtime_error(fmt::format("{}: {}", what, modbus_strerror(errno)));
}

/// The library's view of a meter's registers.
modbus_mapping_t mapping_of(RegisterImage& image) {
  modbus_mapping_t mapping{};
  mapping.nb_input_registers = mapping.nb_registers = 65536;
  mapping.tab_input_registers = image.input.data();
  mapping.tab_registers = image.holding.data();
  return mapping;
}

/// Answers one query; false when a recording has ended.
bool answer(modbus_t* context, Meter& meter, const std::uint8_t* query, int length) {
  const auto* pdu = query + modbus_get_header_length(context);
  const int address = (pdu[1] << 8) | pdu[2];
  const int count = (pdu[3] << 8) | pdu[4];
  if (!meter.before_read(pdu[0], address, count, SystemClock().now())) return false;
  auto mapping = mapping_of(meter.image());
  modbus_reply(context, query, length, &mapping);
  return true;
}

/// One query of one client; false when the client has gone.
bool serve_client(modbus_t* context, int fd, std::map<int, Meter>& meters, bool& ended) {
  std::array<std::uint8_t, MODBUS_TCP_MAX_ADU_LENGTH> query;
  modbus_set_socket(context, fd);
  const int length = modbus_receive(context, query.data());
  if (length < 0) return false;
  if (length == 0) return true;
  const auto meter = meters.find(query[6]);
  if (meter == meters.end()) return modbus_reply_exception(context, query.data(), MODBUS_EXCEPTION_GATEWAY_TARGET) >= 0;
  ended = !answer(context, meter->second, query.data(), length);
  return true;
}

}  // namespace

void serve_tcp(const std::string& address, int port, std::map<int, Meter>& meters, const std::atomic<bool>& stop) {
  const Context context(modbus_new_tcp(address.c_str(), port));
  int listener = context ? modbus_tcp_listen(context.get(), 16) : -1;
  if (listener < 0) throw failure(fmt::format("{}:{}", address, port));
  std::vector<pollfd> sockets{{.fd = listener, .events = POLLIN, .revents = 0}};
  bool ended = false;
  while (!stop && !ended) {
    if (poll(sockets.data(), sockets.size(), 200) <= 0) continue;
    for (std::size_t i = 1; i < sockets.size() && !ended; ++i) {
      if (sockets[i].revents == 0 || serve_client(context.get(), sockets[i].fd, meters, ended)) continue;
      close(sockets[i].fd);
      sockets[i].fd = -1;
    }
    std::erase_if(sockets, [](const pollfd& socket) { return socket.fd < 0; });
    if ((sockets.front().revents & POLLIN) != 0) {
      if (const int fd = modbus_tcp_accept(context.get(), &listener); fd >= 0)
        sockets.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    }
  }
  for (const auto& socket : sockets) close(socket.fd);
}

void serve_rtu(const std::string& link, int unit, Meter& meter, const std::atomic<bool>& stop) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) throw failure("a pseudo-terminal");
  const std::string device = ptsname(terminal);
  // Held open and raw from our side too, so that nothing is echoed and a client may come and go.
  const int slave = open(device.c_str(), O_RDWR | O_NOCTTY);
  termios raw{};
  tcgetattr(slave, &raw);
  cfmakeraw(&raw);
  tcsetattr(slave, TCSANOW, &raw);
  std::error_code ignored;
  std::filesystem::remove(link, ignored);
  std::filesystem::create_symlink(device, link);

  const Context context(modbus_new_rtu(device.c_str(), 9600, 'N', 8, 1));
  if (!context || modbus_set_slave(context.get(), unit) != 0) throw failure("a server on " + device);
  modbus_set_socket(context.get(), terminal);
  std::array<std::uint8_t, MODBUS_RTU_MAX_ADU_LENGTH> query;
  pollfd readable{.fd = terminal, .events = POLLIN, .revents = 0};
  while (!stop) {
    if (poll(&readable, 1, 200) <= 0) continue;
    const int length = modbus_receive(context.get(), query.data());
    if (length > 0 && !answer(context.get(), meter, query.data(), length)) break;
  }
  std::filesystem::remove(link, ignored);
  close(slave);
  close(terminal);
}

}  // namespace wattd::simulator
