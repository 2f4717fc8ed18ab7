#pragma once
#include <map>
#include <optional>
#include <string>

#include "simulator/random.h"
#include "telemetry/time.h"

namespace wattd::simulator {

enum class Fault { overheat, voltage_spike, current_surge, dropout, stuck, clock_skew, malformed };
std::optional<Fault> fault_from(std::string_view name);

/// How probable each fault is at each message.
using FaultOdds = std::map<Fault, double>;

/// What the bulb says at one instant, and what went wrong with it.
struct BulbMessage {
  std::string payload;
  std::optional<Fault> fault;
  bool sent = true;  ///< False for a dropout: nothing is published.
};

/// An electric bulb with its meter: 230 V and 0.85 A with noise, power by a power factor of 0.95 to 1, temperature
/// by power, and a load that follows the day (in UTC), all clipped to the ranges of its schema and rounded to two
/// decimals. Deterministic for a seed.
class Bulb {
 public:
  Bulb(std::string device_id, std::uint64_t seed, FaultOdds odds);

  /// `forced` makes that fault happen now.
  BulbMessage next(Timestamp at, std::optional<Fault> forced = {});
  const std::string& device_id() const { return device_id_; }

 private:
  std::optional<Fault> draw_fault();

  std::string device_id_;
  Random random_;
  FaultOdds odds_;
  double voltage_ = 230, current_ = .85, power_ = 195, temperature_ = 40;
};

}  // namespace wattd::simulator
