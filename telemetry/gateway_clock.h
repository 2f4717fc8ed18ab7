#pragma once
#include <atomic>

#include "telemetry/clock.h"

namespace wattd {

/// Who vouches for the wall clock.
enum class ClockTrust {
  ntp,  ///< The kernel, when a time service has synchronised it.
  rtc,  ///< A battery: it is right when it lies after everything that is known to be past.
};

/// The clocks of the machine. Threads: any.
class Machine {
 public:
  struct Time {
    Timestamp wall;
    std::chrono::microseconds since_boot{};
  };
  virtual ~Machine() = default;
  /// Both clocks at one instant; nothing when the machine was too busy to tell.
  virtual std::optional<Time> read() const = 0;
  /// What has passed since the machine began to run; no step of the wall clock changes it.
  virtual std::chrono::microseconds since_boot() const = 0;
  virtual bool is_synchronised() const = 0;
  virtual std::string boot_id() const = 0;
};

/// The machine that this program runs on.
/// Source: clock_gettime(2), adjtimex(2), random(4).
class ThisMachine final : public Machine {
 public:
  std::optional<Time> read() const override;
  std::chrono::microseconds since_boot() const override;
  bool is_synchronised() const override { return clock_is_synchronised(); }
  std::string boot_id() const override;
};

/// The clock that readings are stamped by: what has passed since the machine began to run, plus when that was. A step
/// of the wall clock is thus seen as one, at watch(), and never halves a group:
/// - until the clock is trusted, steps are ignored: stamps are put right all at once when it is;
/// - a step forward is followed;
/// - a step back by up to an hour is made up for at half speed, so that no stamp comes twice and a counter never seems
///   to run back; a longer one is followed.
/// Threads: watch() one, the rest any.
class GatewayClock final : public Clock {
 public:
  struct Trust {
    ClockTrust by = ClockTrust::ntp;
    Timestamp past{};                ///< With a battery: the clock is wrong when it says less.
    std::optional<Timestamp> known;  ///< When the machine began to run, if it was known once in this boot.
  };

  explicit GatewayClock(const Machine& machine);
  /// Says who vouches for the clock. Before others ask.
  void set_trust(Trust trust);
  /// Looks for trust and for steps; once a second is often enough.
  void watch();

  Stamp stamp() const override;
  Instant monotonic() const override { return std::chrono::steady_clock::now(); }
  Boot boot() const override;
  /// Steps of the wall clock since start, once it was trusted.
  std::uint64_t steps() const { return steps_.load(std::memory_order_relaxed); }

 private:
  void trust_from(std::int64_t began_us);
  void follow(std::int64_t began_us, std::int64_t since_boot_us);
  /// When the machine began to run, as a stamp at this time after it has to reckon.
  std::int64_t began_at(std::int64_t since_boot_us) const;

  const Machine& machine_;
  const std::string boot_id_;
  std::int64_t assumed_us_ = 0;  ///< Never changes after construction.
  Trust trust_;
  std::atomic<bool> trusted_{false};
  std::atomic<std::int64_t> began_us_{0};  ///< What the wall clock says.
  std::atomic<std::int64_t> slewed_us_{
      INT64_MIN};  ///< Where the way back at half speed begins; it falls by half of what passes.
  std::atomic<std::int64_t> adjusted_until_us_{INT64_MIN};  ///< Since boot.
  std::atomic<std::uint64_t> steps_{0};
};

/// Before this the program did not exist: no clock that is right says less.
Timestamp build_date();

}  // namespace wattd
