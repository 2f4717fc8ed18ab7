#pragma once
#include <array>
#include <chrono>
#include <optional>

#include "telemetry/clock.h"

namespace wattd::pipeline {

/// How well a device has been doing in the last 24 hours.
struct Health {
  double score = 0;        ///< 0 to 100: 40 for uptime, 30 for completeness, 20 for few errors, 10 for quick answers.
  double uptime = 0;       ///< Share of the time, 0 to 1, in which readings came as they do.
  double missing = 0;      ///< Share of the readings that should have come.
  double error_rate = 0;   ///< Share of what came that was refused.
  double response_ms = 0;  ///< From a reading's stamp to its arrival; of a polled meter, what the poll took.
  double interval_s = 0;   ///< From one reading to the next, as they usually come.
};

/// Watches one device. What it usually does is learnt from it: a meter that speaks every quarter of an hour is not down
/// in between. Counted since the program started, at most 24 hours back. Source: the platform's device service
/// (CalculateHealthScore), whose weights and steps these are.
/// Threads: one.
class HealthTracker {
 public:
  /// response: from the stamp to the arrival; below zero for a device whose clock is ahead. More than a minute is no
  /// answer but something that was kept and sent later.
  void reading(Instant now, std::chrono::microseconds response);
  void refused(Instant now);
  /// Nothing before there were two readings: nobody knows yet how often they come.
  std::optional<Health> health(Instant now) const;

 private:
  struct Hour {
    std::int64_t number = -1;
    Instant::duration known{}, up{};
    double expected = 0, came = 0;
    double refused = 0;
    double answers = 0;
    Instant::duration response{};
  };
  static constexpr std::size_t kHours = 24;

  Hour& hour_at(Instant now);
  /// Adds the time since the last reading to an hour, as far as it was not one of the usual pauses.
  void add_pause(Hour& hour, Instant::duration pause) const;

  std::array<Hour, kHours> hours_{};
  std::optional<Instant> last_;
  Instant::duration interval_{};  ///< 0 while unknown.
};

}  // namespace wattd::pipeline
