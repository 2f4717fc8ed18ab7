#pragma once
#include <array>
#include <chrono>
#include <optional>
#include <vector>

#include "telemetry/clock.h"

namespace wattd::drivers::modbus {

/// Decides whose turn it is on a bus.
///
/// Every meter has a grid of deadlines for its fast rows and one for all of its rows. Who has waited longest, measured
/// by its own period, comes first: on a bus that has too much to do the meters get turns alike, those that want fewer
/// all of theirs, and none is starved. Meters that stay silent are asked at growing intervals, and while others wait
/// they get a twentieth of the bus together. Threads: one.
class Schedule {
 public:
  /// Shape: a period of zero stands for a class without rows.
  struct Periods {
    std::chrono::milliseconds fast{0};
    std::chrono::milliseconds slow{0};
  };
  struct Turn {
    std::size_t meter = 0;
    bool slow = false;  ///< Also the slow rows, beside the fast ones.
  };

  Schedule(const std::vector<Periods>& meters, Instant now);

  /// Who is to be read now, if anybody is.
  std::optional<Turn> take(Instant now);
  /// When the next turn comes.
  Instant next(Instant now) const;
  /// What came of a turn: how long it held the bus, and whether anything was heard.
  void heard(const Turn& turn, Instant::duration took, Instant now);
  void silent(const Turn& turn, Instant::duration took, Instant now);
  /// The turn was not made, and holds for nothing.
  void skipped(const Turn& turn, Instant now);

  /// The bus was in use for something else.
  void used(Instant::duration took, Instant now) { note(took, now); }

  bool is_silent(std::size_t meter) const { return meters_[meter].failures > 0; }
  /// The share of the last minute in which the bus was in use, 0 to 1.
  double load(Instant now) const;

 private:
  struct Grid {
    std::chrono::milliseconds period{0};
    Instant due{};
    bool any() const { return period.count() > 0; }
    double lag(Instant now) const;
    void move_on(Instant began);
  };
  struct Meter {
    Grid fast, slow;
    int failures = 0;
    Instant ask_again{};  ///< Of a silent one.
  };
  static constexpr std::chrono::seconds kSlice{5};

  bool may_ask(const Meter& meter, Instant now, bool others_wait) const;
  void move_on(const Turn& turn, Instant began);
  void note(Instant::duration took, Instant now);

  std::vector<Meter> meters_;
  Instant silent_free_{};  ///< When silent meters have their share of the bus again.
  Instant began_;
  /// How long the bus was in use, in slices of five seconds.
  struct Slice {
    std::int64_t number = -1;
    Instant::duration used{};
  };
  std::array<Slice, 12> slices_{};
};

}  // namespace wattd::drivers::modbus
