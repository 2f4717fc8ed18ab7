#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "drivers/modbus/link.h"
#include "telemetry/error.h"
#include "telemetry/time.h"

namespace wattd::drivers::modbus {

/// A serial line or a TCP connection as a stream of bytes.
/// Threads: one. Errors of every call: retry; the port is closed then, and opens anew.
class Port {
 public:
  virtual ~Port() = default;
  /// Opens it unless it is open; true when it was not. Errors: also permanent, for settings that the device does not
  /// take.
  virtual Result<bool> open() = 0;
  virtual void close() = 0;
  virtual Result<void> write(std::span<const std::uint8_t> bytes) = 0;
  /// Waits for bytes, no longer than until an instant; none when nothing came.
  virtual Result<std::vector<std::uint8_t>> read(Instant until) = 0;
  /// Lets time pass.
  virtual void rest(Instant until) = 0;
};

std::unique_ptr<Port> serial_port(const Address& address);
std::unique_ptr<Port> tcp_port(const Address& address);

}  // namespace wattd::drivers::modbus
