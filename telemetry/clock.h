#pragma once
#include <optional>
#include <string>

#include "telemetry/quality.h"
#include "telemetry/time.h"

namespace wattd {

/// An instant as the gateway itself reckons it, with what has to be said against it.
struct Stamp {
  Timestamp at;
  Quality quality = Quality::good;
};

/// One run of the machine. Stamps of a clock that nothing vouches for count from `assumed`; once `known` is there,
/// they can be put right.
struct Boot {
  std::string id;
  Timestamp assumed{};             ///< When the machine began to run, by the clock as it was found.
  std::optional<Timestamp> known;  ///< The same by a clock that is trusted.
};

/// Where the time comes from, so that a test can hold it still.
/// Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The wall clock: for stamps.
  virtual Timestamp now() const { return stamp().at; }
  /// The same with its quality: `clock_unsynced` as long as nothing vouches for the clock, `clock_adjusted` while it is
  /// being put right.
  virtual Stamp stamp() const = 0;
  /// The monotonic clock: for durations and schedules.
  virtual Instant monotonic() const = 0;
  virtual Boot boot() const = 0;
  bool is_trusted() const { return boot().known.has_value(); }
};

/// The machine's own clocks, believed as they are: for programs that stamp nothing which is kept.
class SystemClock final : public Clock {
 public:
  Stamp stamp() const override;
  Instant monotonic() const override;
  Boot boot() const override { return {.known = Timestamp{}}; }
};

/// Whether the kernel says that the wall clock is synchronised.
/// Source: adjtimex(2).
bool clock_is_synchronised();

/// A clock that stands still until a test moves it.
/// Threads: one.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(Timestamp start = from_unix_us(1'770'463'560'000'000)) : now_(start) {}
  Stamp stamp() const override { return {now_, known_ ? Quality::good : Quality::clock_unsynced}; }
  Instant monotonic() const override { return monotonic_; }
  Boot boot() const override { return {boot_id_, assumed_, known_}; }
  /// Lets time pass: both clocks go forward.
  void advance(std::chrono::microseconds by) { now_ += by, monotonic_ += by; }
  /// Steps the wall clock alone, as a correction by NTP or by hand would.
  void step_wall(std::chrono::microseconds by) { now_ += by; }
  /// As after a start of the machine, when nothing vouches for its clock.
  void boot_untrusted(std::string id, Timestamp now) {
    boot_id_ = std::move(id), now_ = assumed_ = now;
    known_.reset();
  }
  /// The clock is vouched for from now on: it had been wrong by this much.
  void trust(std::chrono::microseconds wrong_by) { now_ += wrong_by, known_ = assumed_ + wrong_by; }

 private:
  std::string boot_id_ = "fake";
  Timestamp now_;
  Timestamp assumed_ = now_;
  std::optional<Timestamp> known_ = now_;
  Instant monotonic_{std::chrono::hours{1}};
};

}  // namespace wattd
