#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "telemetry/error.h"

namespace wattd::drivers::modbus {

/// How to reach a bus: a serial line, or a host that speaks Modbus TCP.
struct Address {
  std::string device;  ///< Serial device; empty for TCP.
  int baud = 9600;
  char parity = 'N';  ///< N, E or O.
  int stop_bits = 1;
  std::string host;
  int port = 502;
  std::chrono::milliseconds timeout{1000};  ///< For the first byte of an answer.

  bool is_serial() const { return !device.empty(); }
  std::string text() const;
  bool operator==(const Address&) const = default;
};

/// A line to the meters of one bus. Threads: one.
class Link {
 public:
  virtual ~Link() = default;
  /// Reads `count` registers of a unit.
  /// Errors: unsupported: the meter answered with exception 2 or 3, the address or the count is not its own;
  /// permanent: another exception, the meter is there but will not say; retry: no answer, or a broken one.
  virtual Result<std::vector<std::uint16_t>> read(int unit, int function, int address, int count) = 0;
};

/// Opens lazily, and again after every failure of the line itself.
std::unique_ptr<Link> open_link(Address address);

}  // namespace wattd::drivers::modbus
