#pragma once
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "telemetry/calendar.h"
#include "telemetry/counter.h"

namespace wattd::rules {

/// What one series adds to the running interval: a counter what it has counted, a power what it has been over time.
class IntervalPart {
 public:
  /// What a part counts, and how.
  struct Source {
    std::string device;
    bool is_counter = true;
    CounterRules rules;
    int sign = 1;  ///< -1 where a meter tree takes it off.
    bool operator==(const Source&) const = default;
  };

  explicit IntervalPart(Source source) : source_(std::move(source)), counter_(source_.rules) {}
  const Source& source() const { return source_; }

  /// Takes a reading in order of time; what comes out of order changes nothing here.
  /// Units: of a counter its own (kWh), of a power W.
  void take(CounterReading reading);
  /// Within the interval that holds `at`; asked about in order of time. Units: milliwatt-hours.
  std::int64_t milli(TimeRange interval, Timestamp at);
  /// What it has been lately. Units: kW.
  double power(Timestamp until) const;
  std::optional<Timestamp> newest() const { return newest_; }
  /// The clock was put back to `now`: counts from there on.
  void begin_again(Timestamp now);

 private:
  Source source_;
  Counter counter_;
  std::optional<Timestamp> newest_;
  std::optional<CounterReading> power_;  ///< The last reading of a power.
  Timestamp interval_{};                 ///< When the one that was last asked about began,
  std::int64_t settled_ = 0;             ///< and what it has of increments that are forgotten.
  std::deque<Increment> increments_;     ///< Of the last minutes.
};

/// The energy of an interval that has begun: of one meter, or of several that are added up.
/// Threads: one.
class Interval {
 public:
  explicit Interval(std::chrono::minutes length) : length_(length) {}

  std::vector<IntervalPart>& parts() { return parts_; }
  const std::vector<IntervalPart>& parts() const { return parts_; }
  /// What has been counted since the interval that holds `at` began. Units: kWh.
  double energy(const Calendar& calendar, Timestamp at);
  /// The average power that the interval will end with, if all goes on as in the last minutes; nothing while a part of
  /// it is not known. Units: kW.
  std::optional<double> forecast(const Calendar& calendar, Timestamp at);
  /// The last instant of the interval that was asked about last, where `at` lies behind it.
  std::optional<Timestamp> end_before(const Calendar& calendar, Timestamp at) const;
  void begin_again(Timestamp now);

 private:
  std::chrono::minutes length_;
  std::vector<IntervalPart> parts_;
  Timestamp newest_{};  ///< What was asked about: no part may fall back into the interval before.
};

}  // namespace wattd::rules
