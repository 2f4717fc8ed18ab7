#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "telemetry/calendar.h"
#include "telemetry/quality.h"
#include "telemetry/time.h"

namespace wattd {

/// What is known of a counter beside its readings.
/// Units: the counter's own (kWh); 0 says that it is not known.
struct CounterRules {
  double modulus = 0;       ///< Where it begins anew, such as 999999.99 + 0.01; never guessed.
  double most_an_hour = 0;  ///< Twice this is the most that is believed; from the fuse or the configuration. Without
                            ///< it, what no meter counts.
  double resolution = 0;    ///< Its last digit; else told from the readings themselves.
  bool operator==(const CounterRules&) const = default;
};

/// What a counter counted between two instants.
/// Units: thousandths of thousandths of the counter's unit, so milliwatt-hours for kWh.
struct Increment {
  Timestamp from;
  Timestamp to;
  std::int64_t milli = 0;
  Quality quality = Quality::good;
  bool operator==(const Increment&) const = default;

  /// The part that falls into a range, spread evenly over time. The parts of adjoining ranges add up to the whole.
  std::int64_t within(TimeRange range) const;
};

/// A counter reading at an instant.
struct CounterReading {
  Timestamp at;
  double value = 0;
  bool operator==(const CounterReading&) const = default;
};

/// Tells what a counter's readings mean: jitter of its last digit, a blip to zero, a reset, a rollover, a new meter.
/// Nothing is counted that may not have been: a drop is believed only after three equal or rising readings, what a
/// counter shows right after a reset counts only where a limit says that it can have been, and one that comes back to
/// where it stood before has not been reset.
/// Source: docs/measurands.md, "Counters".
class Counter {
 public:
  /// Where a counter stands, so that it can go on later.
  struct State {
    std::optional<CounterReading> accepted;
    std::vector<CounterReading> held;      ///< A drop or a jump that is not believed yet; at most two.
    std::optional<CounterReading> before;  ///< Where it stood before a reset that may not have been one,
    std::int64_t since = 0;                ///< and what it has counted after it.
    bool operator==(const State&) const = default;
  };

  explicit Counter(CounterRules rules) : rules_(rules) {}
  Counter(CounterRules rules, State state) : rules_(rules), state_(std::move(state)) {}

  /// Takes the next reading in order of time.
  /// Shape: the increments that it settled, in order of time, without gaps; none while something is held.
  std::vector<Increment> take(CounterReading reading, Quality quality = Quality::good);
  const State& state() const { return state_; }
  /// Takes note of a reading that was taken before, with what it had settled.
  void recall(CounterReading reading, std::int64_t milli, Quality quality);
  /// Takes up where a counter stood.
  void go_on(State state) { state_ = std::move(state); }

 private:
  double tolerance(double a, double b) const;
  bool is_believable(const CounterReading& from, double difference, Timestamp to) const;
  std::vector<Increment> accept(CounterReading reading, std::int64_t milli, Quality quality);
  void forget_before();
  bool comes_back(const CounterReading& reading) const;
  std::vector<Increment> begin_anew(CounterReading first, Quality why);

  CounterRules rules_;
  State state_;
};

/// Thousandths of thousandths of a unit: milliwatt-hours of a number of kWh.
std::int64_t to_milli(double value);

}  // namespace wattd
