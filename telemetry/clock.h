#pragma once
#include "telemetry/time.h"

namespace wattd {

/// Where the time comes from, so that a test can hold it still.
/// Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The wall clock: for stamps. It may step either way.
  virtual Timestamp now() const = 0;
  /// The monotonic clock: for durations and schedules.
  virtual Instant monotonic() const = 0;
};

/// The machine's own clocks.
class SystemClock final : public Clock {
 public:
  Timestamp now() const override;
  Instant monotonic() const override;
};

/// Whether the kernel says that the wall clock is synchronised.
/// Source: adjtimex(2).
bool clock_is_synchronised();

/// A clock that stands still until a test moves it.
/// Threads: one.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(Timestamp start = from_unix_us(1'770'463'560'000'000)) : now_(start) {}
  Timestamp now() const override { return now_; }
  Instant monotonic() const override { return monotonic_; }
  /// Lets time pass: both clocks go forward.
  void advance(std::chrono::microseconds by) { now_ += by, monotonic_ += by; }
  /// Steps the wall clock alone, as a correction by NTP or by hand would.
  void step_wall(std::chrono::microseconds by) { now_ += by; }

 private:
  Timestamp now_;
  Instant monotonic_{std::chrono::hours{1}};
};

}  // namespace wattd
