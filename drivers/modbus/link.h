#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "drivers/modbus/frame.h"
#include "telemetry/clock.h"
#include "telemetry/error.h"

namespace wattd::drivers::modbus {

/// How to reach a bus: a serial line, or a host that speaks Modbus TCP, or RTU over TCP.
struct Address {
  std::string device;  ///< Serial device; empty for TCP.
  int baud = 9600;
  char parity = 'N';  ///< N, E or O.
  int stop_bits = 1;
  std::string host;
  int port = 502;
  bool rtu_over_tcp = false;                ///< Serial frames on a TCP connection, as serial servers pass them on.
  std::chrono::milliseconds timeout{1000};  ///< For the first byte of an answer.
  std::chrono::milliseconds unit_pause{0};  ///< Before another unit is asked than the last time.

  bool is_serial() const { return !device.empty(); }
  Framing framing() const { return is_serial() || rtu_over_tcp ? Framing::rtu : Framing::tcp; }
  std::string text() const;
  bool operator==(const Address&) const = default;
};

/// A line to the meters of one bus. Threads: one.
class Link {
 public:
  virtual ~Link() = default;
  /// Reads `count` registers of a unit.
  /// Errors: unsupported: the meter answered with exception 1, 2 or 3, the address or the count is not its own;
  /// permanent: another exception, the meter is there but will not say; retry: no answer, or a broken one.
  virtual Result<std::vector<std::uint16_t>> read(int unit, int function, int address, int count) = 0;
  /// What a unit says of itself: vendor, product code, revision. Errors: as of read(); unsupported where the link has
  /// no way to ask.
  virtual Result<std::vector<std::string>> identify(int /*unit*/) {
    return fail(ErrorKind::unsupported, "there is no way to ask");
  }
  /// When this may be asked. Later than now where a late answer to something else could be taken for the answer.
  virtual Instant free_at(const ReadRequest& /*request*/) const { return {}; }
  /// How long the first byte of the next answers may take; at first what the address says.
  virtual void set_timeout(std::chrono::milliseconds /*timeout*/) {}
  /// How often the line was opened: behind a new connection there may be another device.
  virtual int openings() const { return 0; }
  /// How late a unit's latest answer was that came after it had been given up, counted from its request; 0 for none of
  /// late.
  virtual Instant::duration lateness(int /*unit*/) const { return {}; }
};

class Port;
class Trace;

/// Opens lazily, and again after every failure of the line itself.
/// `trace` gets to see what goes over the line, where there is one.
std::unique_ptr<Link> open_link(Address address, const Clock& clock, std::shared_ptr<Trace> trace = nullptr);
/// The same over a port that is given.
std::unique_ptr<Link> open_link(Address address, std::unique_ptr<Port> port, const Clock& clock);

}  // namespace wattd::drivers::modbus
