#pragma once
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "telemetry/device.h"
#include "telemetry/reading.h"

namespace wattd::bench {

/// A plant that says the same things for the same seed, reading by reading in order of time.
class Signals {
 public:
  virtual ~Signals() = default;
  virtual std::vector<Device> devices() const = 0;
  /// How often each device speaks.
  virtual std::chrono::microseconds interval() const = 0;
  /// One reading of every device for tick `tick`.
  virtual void next(std::int64_t tick, std::vector<Reading>& readings) = 0;
};

/// d1_5s: the bulb D1 of the low-level design, every 5 s, noise as specified there, stamps in microseconds that drift
/// by the jitter of a sleep. meter_1s: 20 devices of five channels with decimals as meters show them, every second with
/// 3 ms of jitter, stamps in whole milliseconds; meter_5s every five. float32_1s: the same as float32 with full
/// mantissas. household: the hourly means of the UCI household, six digits and all, from the file given, one every 10 s
/// and over again. series_1000: 200 such meters. Errors: throws std::runtime_error for a name it does not know.
std::unique_ptr<Signals> make_signals(const std::string& name, std::uint64_t seed, const std::string& file,
                                      Timestamp start);

}  // namespace wattd::bench
